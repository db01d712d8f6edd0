// A limit of LIMIT requests a minute for each key: a greedy client gets that and no more, a polite
// one beside it never notices, and a patient one is served when it was told to come again.
//
// The limit is a sliding window made of two counters. Within 20 seconds that lie across the turn of
// a minute, a client that used all of the minute before may get another 20/60 of the limit.
import { sleep } from 'k6';
import { Rate } from 'k6/metrics';
import { askShort, NOTHING_LOST, setting, SUMMARY } from './common.js';
export { handleSummary } from './common.js';

const LIMIT = setting('LIMIT', 120);
const GREEDY_RATE = setting('RATE', 40);
const GREEDY_SECONDS = setting('HOLD', 20);
const HAS_PATIENT = setting('PATIENT', 1) === 1;
const MINUTE_SECONDS = 60;

const promises = new Rate('promises_kept');

const patient = { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: '4m' };

function steady(rate) {
  return {
    executor: 'constant-arrival-rate',
    rate,
    timeUnit: '1s',
    duration: `${GREEDY_SECONDS}s`,
    preAllocatedVUs: 50,
  };
}

export const options = {
  scenarios: {
    greedy: { ...steady(GREEDY_RATE), exec: 'greedy' },
    polite: { ...steady(1), exec: 'polite' },
    ...(HAS_PATIENT ? { patient: { ...patient, exec: 'patient' } } : {}),
  },
  summaryTrendStats: SUMMARY,
  thresholds: {
    ...NOTHING_LOST,
    'right{scenario:greedy}': [
      `count>=${LIMIT}`,
      `count<=${LIMIT * (1 + GREEDY_SECONDS / MINUTE_SECONDS)}`,
    ],
    'refused{scenario:greedy}': ['count>0'],
    'refused{scenario:polite}': ['count==0'],
    'right{scenario:polite}': ['count>0'],
    ...(HAS_PATIENT ? { promises_kept: ['rate==1'] } : {}),
  },
};

export function greedy() {
  askShort({ key: __ENV.GREEDY_KEY });
}

export function polite() {
  askShort({ key: __ENV.POLITE_KEY });
}

function askPatiently() {
  return askShort({ key: __ENV.PATIENT_KEY });
}

export { askUntilToldToWait as patient };

function askUntilToldToWait() {
  let answer = askPatiently();
  for (let sent = 1; answer.status === 200 && sent < 3 * LIMIT; sent++) answer = askPatiently();
  if (answer.status !== 429) {
    promises.add(false);
    return;
  }
  sleep(Number(answer.headers['Retry-After-Ms']) / 1000);
  promises.add(askPatiently().status === 200);
}
