// Asks the server at argv[2] through the official client; prints what came, as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "any", maxRetries: 0 });
const model = "fake-model";

async function embed(body, options) {
  const answer = await client.embeddings.create({ model, ...body }, options);
  return { vectors: answer.data.map((item) => item.embedding), usage: answer.usage };
}

async function refusal(body, options) {
  try {
    await client.embeddings.create({ model, ...body }, options);
    return null;
  } catch (error) {
    const { status, code, param, type, requestID } = error;
    return { kind: error.constructor.name, status, code, param, type, has_id: Boolean(requestID) };
  }
}

const models = [];
for await (const item of client.models.list()) models.push(item.id);

console.log(
  JSON.stringify({
    text: await embed({ input: "the cat" }),
    texts: await embed({ input: ["the cat", "a dog sat"] }),
    ids: await embed({ input: [2, 5, 6, 7, 3] }),
    lists: await embed({ input: [[2, 5, 6, 3], [2, 7, 3]] }),
    float: await embed({ input: "the cat", encoding_format: "float" }),
    truncated: await embed({ input: "cat ".repeat(100), truncate: "end" }),
    models,
    empty: await refusal({ input: "" }),
    long: await refusal({ input: ["a", "cat ".repeat(100)] }),
    unknown: await refusal({ input: "a", model: "gpt" }),
    space: await refusal(
      { input: "a" },
      { headers: { "x-embellama-require-space": "other" }, maxRetries: 2 },
    ),
  }),
);
