// Requests that come at a constant rate, however long the answers take: 1, 8 or 32 texts of 1 to
// 256 tokens each. All are answered, single ones in time.
import { askMixed, NOTHING_LOST, seconds, setting, SUMMARY } from './common.js';
export { handleSummary } from './common.js';

export const options = {
  scenarios: {
    arrival: {
      executor: 'constant-arrival-rate',
      rate: setting('RATE', 8),
      timeUnit: '1s',
      duration: seconds('HOLD', 40),
      preAllocatedVUs: 100,
      gracefulStop: '30s',
    },
  },
  summaryTrendStats: SUMMARY,
  thresholds: {
    ...NOTHING_LOST,
    refused: ['count==0'],
    dropped_iterations: ['count==0'],
    'accepted_ms{texts:1}': ['p(99)<500'],
    'accepted_ms{texts:8}': ['p(99)<2000'],
    'accepted_ms{texts:32}': ['p(99)<4000'],
  },
};

export default function () {
  askMixed();
}
