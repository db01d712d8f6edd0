// Several times more than the server can compute, of 1, 8 and 32 texts: what it takes it answers in
// a bounded time, the large requests too; the rest is told when to come again, and 5 seconds after
// the spike all is as before.
// BOUND_MS is the bound: it follows from the length of the queue and the speed of this machine.
import { ask, askMixed, NOTHING_LOST, setting, SUMMARY } from './common.js';
export { handleSummary } from './common.js';

const CALM_TEXTS = 8;
const RECOVERY_SECONDS = 5;
const CALM_SECONDS = setting('CALM', 10);
const SPIKE_SECONDS = setting('SPIKE', 20);
const CALM_RATE = 2;
const SPIKE_RATE = setting('RATE', 100);
const BOUND_MS = setting('BOUND_MS', 0);

function scenario(rate, start, duration) {
  return {
    executor: 'constant-arrival-rate',
    rate,
    timeUnit: '1s',
    startTime: `${start}s`,
    duration: `${duration}s`,
    preAllocatedVUs: rate > CALM_RATE ? 500 : 20,
    gracefulStop: '30s',
    exec: rate > CALM_RATE ? 'mixed' : 'calm',
  };
}

export const options = {
  scenarios: {
    before: scenario(CALM_RATE, 0, CALM_SECONDS),
    spike: scenario(SPIKE_RATE, CALM_SECONDS, SPIKE_SECONDS),
    after: scenario(CALM_RATE, CALM_SECONDS + SPIKE_SECONDS + RECOVERY_SECONDS, CALM_SECONDS),
  },
  summaryTrendStats: SUMMARY,
  thresholds: {
    ...NOTHING_LOST,
    dropped_iterations: ['count==0'],
    'refused{scenario:before}': ['count==0'],
    'refused{scenario:spike}': ['count>0'],
    'refused{scenario:after}': ['count==0'],
    'right{scenario:spike}': ['count>0'],
    'accepted_ms{scenario:before}': ['p(99)<1000'],
    'accepted_ms{scenario:spike}': [`p(99)<${BOUND_MS}`],
    ...Object.fromEntries(
      [1, 8, 32].map((texts) => [
        `accepted_ms{scenario:spike,texts:${texts}}`,
        [`p(99)<${BOUND_MS}`],
      ])
    ),
    'accepted_ms{scenario:after}': ['p(99)<1000'],
  },
};

export function calm() {
  ask(CALM_TEXTS);
}

export { askMixed as mixed };
