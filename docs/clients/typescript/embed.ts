// The official OpenAI client for TypeScript: embed, compare, and read what a refusal says.
//
//   npm ci && npm start
import OpenAI from "openai";

const model = "all-MiniLM-L6-v2";
const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "none", // any text, where the server has no keys
});

/** The cosine of two vectors of length 1: higher is closer. */
function similarity(one: number[], other: number[]): number {
  return one.reduce((sum, value, index) => sum + value * other[index]!, 0);
}

const answer = await client.embeddings.create({
  model,
  input: ["A cat sleeps.", "A kitten naps."],
});
const [cat, kitten] = answer.data.map((item) => item.embedding);
console.log(
  `${cat!.length} dimensions, ${answer.usage.prompt_tokens} tokens, ` +
    `similarity ${similarity(cat!, kitten!).toFixed(3)}`,
);

// What OpenAI's API does not have is not in its types; it is sent all the same.
const extended = { model, input: "word ".repeat(1000), truncate: "end" };
const { data, response } = await client.embeddings.create(extended).withResponse();
console.log(`cut to ${data.usage.prompt_tokens} tokens`);
console.log(`vector space ${response.headers.get("x-embellama-space")}`);

try {
  await client.embeddings.create({ model, input: "word ".repeat(1000) });
} catch (error) {
  if (!(error instanceof OpenAI.BadRequestError)) throw error;
  console.log(`refused: ${error.code}, ${error.param}`);
}
