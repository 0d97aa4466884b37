// openai-node against Minerva: does what a user's script would, checks it, and exits 0. Usage: node conversation.mjs URL
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// The client lies outside the source tree (setup.sh).
const require = createRequire(process.env.MINERVA_E2E_NODE + '/');
// With the Node of Debian 12 and of 13 the node-fetch that this client brings takes every chunked stream for a broken one,
// whoever sends it. Then the client uses the Node's own fetch.
if (/^v(18|20\.19)\./.test(process.version)) require('openai/shims/web');
const OpenAI = require('openai').default;

const client = new OpenAI({ baseURL: process.argv[2] + '/v1', apiKey: 'unused', maxRetries: 0, timeout: 60_000 });
const messages = [{ role: 'user', content: 'Hello' }];
const settings = { messages, max_tokens: 8, temperature: 0 };

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
assert.deepEqual(ids.sort(), ['a', 'b', 'c', 'd', 'e']);
assert.equal((await client.models.retrieve('a')).owned_by, 'minerva');

const chat = await client.chat.completions.create({ model: 'a', ...settings });
assert.ok(chat.choices[0].message.content);
assert.equal(chat.usage.completion_tokens, 8);

let text = '';
let chunks = 0;
for await (const chunk of await client.chat.completions.create({ model: 'b', ...settings, stream: true })) {
  text += chunk.choices[0]?.delta.content ?? '';
  ++chunks;
}
assert.ok(text && chunks >= 8);

const vectors = await client.embeddings.create({ model: 'e', input: ['one', 'two'] });
assert.deepEqual(vectors.data.map((item) => item.embedding.length), [64, 64]);

const again = await client.chat.completions.create({ model: 'a', ...settings });
assert.equal(again.choices[0].message.content, chat.choices[0].message.content);

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Rome', 'Oslo'] } },
  required: ['city'],
  additionalProperties: false,
};
// Makes a random model begin a tool call: see tool_calls.jinja.
const answer = await fetch(process.argv[2] + '/tokenize', { method: 'POST', body: '{"model": "a", "content": "{"}' });
const brace = (await answer.json()).tokens.at(-1);
const called = await client.chat.completions.create({
  model: 'a', ...settings, max_tokens: 200, tool_choice: 'required', parallel_tool_calls: false,
  logit_bias: { [brace]: 100 },
  tools: [{ type: 'function', function: { name: 'get_weather', parameters } }],
});
const [call] = called.choices[0].message.tool_calls;
assert.equal(call.function.name, 'get_weather');
assert.ok(['Rome', 'Oslo'].includes(JSON.parse(call.function.arguments).city));

const formed = await client.chat.completions.create({
  model: 'a', ...settings, max_tokens: 400,
  response_format: { type: 'json_schema', json_schema: { name: 'place', schema: parameters, strict: true } },
});
assert.ok(['Rome', 'Oslo'].includes(JSON.parse(formed.choices[0].message.content).city));

await assert.rejects(client.chat.completions.create({ model: 'nosuch', messages }), (error) => {
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, 'model_not_found');
  assert.match(error.message, /nosuch/);
  return true;
});
await assert.rejects(client.chat.completions.create({ model: '', messages }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.code, 'invalid_argument');
  return true;
});
await assert.rejects(client.embeddings.create({ model: 'a', input: 'x' }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.code, 'unsupported');
  return true;
});

// A stream that is given up half way.
const dropped = await client.chat.completions.create({ model: 'a', ...settings, max_tokens: 3000, stream: true });
for await (const chunk of dropped) {
  if (chunk.choices[0]?.delta.content) break;
}
console.log('done');
