// What all load tests share: requests of golden texts, and the verdict on each answer.
import encoding from 'k6/encoding';
import { SharedArray } from 'k6/data';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';

const URL = `${__ENV.URL}/v1/embeddings`;
const SMALLEST_COSINE = 0.9999;

// Every request ends in exactly one of these four.
const right = new Counter('right'); // 200, and every vector is the golden one
const wrong = new Counter('wrong'); // 200, but a vector is missing or another
const refused = new Counter('refused'); // 429 that says when to come again
const failed = new Counter('failed'); // anything else: no answer, 5xx, a 429 without Retry-After
const accepted = new Trend('accepted_ms', true); // from sending to the whole answer

// In the order of their tokens.
const golden = new SharedArray('golden', () =>
  JSON.parse(open(__ENV.GOLDEN))
    .texts.map((row) => ({
      text: row.text,
      tokens: row.input_ids.length,
      vector: Array.from(decoded(row.embedding)),
    }))
    .sort((one, other) => one.tokens - other.tokens)
);

export function setting(name, otherwise) {
  return name in __ENV ? Number(__ENV[name]) : otherwise;
}

export function seconds(name, otherwise) {
  return `${setting(name, otherwise)}s`;
}

// Ask for `count` different golden texts of all lengths, so that requests of as many texts are alike;
// `options.key` is an API key, `options.tags` are k6's.
export function ask(count, options = {}) {
  const stride = Math.floor(golden.length / count);
  const start = Math.floor(Math.random() * stride);
  const rows = [];
  for (let place = 0; place < count; place++) rows.push(golden[start + place * stride]);
  return askFor(rows, options);
}

const MIXED = [
  { share: 0.7, texts: 1 },
  { share: 0.9, texts: 8 },
  { share: 1, texts: 32 },
];

// Ask for 1, 8 or 32 texts, tagged as such.
export function askMixed() {
  const at = Math.random();
  const { texts } = MIXED.find(({ share }) => at < share);
  return ask(texts, { tags: { texts: String(texts) } });
}

// Ask for one short golden text, always the same.
export function askShort(options = {}) {
  return askFor([golden[0]], options);
}

function askFor(rows, { key = 'none', tags = {} }) {
  const body = JSON.stringify({
    model: __ENV.MODEL,
    input: rows.map((row) => row.text),
    encoding_format: 'base64',
    truncate: 'end',
  });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
  const response = http.post(URL, body, { headers, tags, timeout: '60s' });
  judge(response, rows, tags);
  return response;
}

function judge(response, rows, tags) {
  if (response.status === 200) {
    const isRight = holdsVectors(response, rows);
    (isRight ? right : wrong).add(1, tags);
    if (isRight) accepted.add(response.timings.duration, tags);
  } else if (response.status === 429 && saysWhen(response)) {
    refused.add(1, tags);
  } else {
    failed.add(1, tags);
    console.error(`status ${response.status}, ${response.error}: ${response.body}`);
  }
}

function saysWhen(response) {
  const wait = Number(response.headers['Retry-After']);
  const precise = Number(response.headers['Retry-After-Ms']);
  return wait >= 1 && precise > 0 && precise <= wait * 1000;
}

function holdsVectors(response, rows) {
  const data = response.json().data;
  return (
    data.length === rows.length &&
    data.every(
      (item, place) =>
        item.index === place &&
        cosine(decoded(item.embedding), rows[place].vector) >= SMALLEST_COSINE
    )
  );
}

function decoded(text) {
  return new Float32Array(encoding.b64decode(text, 'std'));
}

function cosine(one, other) {
  if (one.length !== other.length) return NaN;
  let [product, first, second] = [0, 0, 0];
  for (let place = 0; place < one.length; place++) {
    product += one[place] * other[place];
    first += one[place] ** 2;
    second += other[place] ** 2;
  }
  return product / Math.sqrt(first * second);
}

export const NOTHING_LOST = {
  right: ['count>0'],
  wrong: ['count==0'],
  failed: ['count==0'],
};

export const SUMMARY = ['med', 'p(95)', 'p(99)', 'max'];

// The whole summary as JSON, for the program that started k6.
export function handleSummary(data) {
  return { [__ENV.OUT]: JSON.stringify(data) };
}
