// The `ai` SDK with @ai-sdk/openai-compatible against Minerva: does what a user's script would, and checks it.
// Usage: node ai.mjs URL         a script that switches models; the last line of its output is "done"
//        node ai.mjs URL wait    a stream of the model "slow", which has to load first; writes its text
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// The client lies outside the source tree (setup.sh).
const require = createRequire(process.env.MINERVA_E2E_NODE + '/');
const ai = require('ai');
const { createOpenAICompatible } = require('@ai-sdk/openai-compatible');

const [url, wait] = process.argv.slice(2);
const minerva = createOpenAICompatible({ name: 'minerva', baseURL: url + '/v1', supportsStructuredOutputs: true });
const settings = { prompt: 'Hello', maxOutputTokens: 8, temperature: 0, maxRetries: 0 };

// The text of a stream. Throws what the client reports.
async function stream(model) {
  let failure;
  let text = '';
  const result = ai.streamText({ ...settings, model: minerva(model), onError: ({ error }) => { failure = error; } });
  for await (const piece of result.textStream) text += piece;
  if (failure) throw failure;
  return text;
}

if (wait) {
  try {
    console.log(await stream('slow'));
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
  process.exit(0);
}

const chat = await ai.generateText({ ...settings, model: minerva('a') });
assert.ok(chat.text);
assert.equal(chat.usage.outputTokens, 8);
assert.ok(await stream('b'));
const vectors = await ai.embedMany({ model: minerva.textEmbeddingModel('e'), values: ['one', 'two'], maxRetries: 0 });
assert.deepEqual(vectors.embeddings.map((vector) => vector.length), [64, 64]);
assert.equal((await ai.generateText({ ...settings, model: minerva('a') })).text, chat.text);

const place = ai.jsonSchema({
  type: 'object',
  properties: { city: { type: 'string', enum: ['Rome', 'Oslo'] } },
  required: ['city'],
  additionalProperties: false,
});
// Makes a random model begin a tool call: see tool_calls.jinja.
const answer = await fetch(url + '/tokenize', { method: 'POST', body: '{"model": "a", "content": "{"}' });
const brace = (await answer.json()).tokens.at(-1);
const called = await ai.generateText({
  ...settings, model: minerva('a'), maxOutputTokens: 200, toolChoice: 'required',
  tools: { get_weather: ai.tool({ description: 'The weather at a place', inputSchema: place }) },
  providerOptions: { minerva: { logit_bias: { [brace]: 100 }, parallel_tool_calls: false } },
});
const [call] = called.toolCalls;
assert.equal(call.toolName, 'get_weather');
assert.ok(['Rome', 'Oslo'].includes(call.input.city));

const formed = await ai.generateObject({ ...settings, model: minerva('a'), maxOutputTokens: 400, schema: place });
assert.ok(['Rome', 'Oslo'].includes(formed.object.city));

const refused = (status, code) => (error) => {
  assert.ok(ai.APICallError.isInstance(error), String(error));
  assert.equal(error.statusCode, status);
  assert.equal(JSON.parse(error.responseBody).error.code, code);
  assert.equal(error.message, JSON.parse(error.responseBody).error.message);
  assert.ok(!error.isRetryable);
  return true;
};
await assert.rejects(ai.generateText({ ...settings, model: minerva('nosuch') }), refused(404, 'model_not_found'));
await assert.rejects(stream('nosuch'), refused(404, 'model_not_found'));
await assert.rejects(ai.embed({ model: minerva.textEmbeddingModel('a'), value: 'x', maxRetries: 0 }),
  refused(400, 'unsupported'));
console.log('done');
