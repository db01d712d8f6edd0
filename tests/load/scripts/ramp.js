// Up to 1,000 connections that stay open, each asking every few seconds: nobody is refused.
import { sleep } from 'k6';
import { askShort, NOTHING_LOST, seconds, setting, SUMMARY } from './common.js';
export { handleSummary } from './common.js';

const CONNECTIONS = setting('CONNECTIONS', 1000);
const PAUSE_SECONDS = setting('PAUSE', 5);

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: seconds('RAMP', 20), target: CONNECTIONS },
        { duration: seconds('HOLD', 20), target: CONNECTIONS },
      ],
      gracefulStop: '30s',
    },
  },
  summaryTrendStats: SUMMARY,
  thresholds: {
    ...NOTHING_LOST,
    refused: ['count==0'],
    accepted_ms: ['p(99)<1000'],
  },
};

export default function () {
  askShort();
  sleep(PAUSE_SECONDS * (0.5 + Math.random()));
}
