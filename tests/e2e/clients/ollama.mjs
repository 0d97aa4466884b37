// ollama-js against Minerva: does what a user's script would, checks it, and exits 0. Usage: node ollama.mjs URL
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// The client lies outside the source tree (setup.sh).
const require = createRequire(process.env.MINERVA_E2E_NODE + '/');
const { Ollama } = require('ollama');

const client = new Ollama({ host: process.argv[2] });
const messages = [{ role: 'user', content: 'Hello' }];
const options = { num_predict: 8, temperature: 0 };

const { models } = await client.list();
assert.deepEqual(models.map((model) => model.name), ['a', 'b', 'c', 'd', 'e'].map((name) => name + ':latest'));
assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);

const chat = await client.chat({ model: models[0].name, messages, options });
assert.ok(chat.message.content);
assert.equal(chat.eval_count, 8);
assert.deepEqual((await client.ps()).models.map((model) => model.name), ['a:latest']);

let text = '';
let last;
for await (const part of await client.chat({ model: 'b', messages, options, stream: true })) {
  text += part.message.content;
  last = part;
}
assert.ok(text);
assert.ok(last.done && last.done_reason === 'length');

const vectors = await client.embed({ model: 'e', input: ['one', 'two'] });
assert.deepEqual(vectors.embeddings.map((vector) => vector.length), [64, 64]);

const again = await client.chat({ model: 'a', messages, options });
assert.equal(again.message.content, chat.message.content);
const generated = await client.generate({ model: 'a', prompt: 'Hello', options });
assert.equal(generated.response, chat.message.content);

const format = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Rome', 'Oslo'] } },
  required: ['city'],
  additionalProperties: false,
};
const formed = await client.chat({ model: 'a', messages, format, options: { num_predict: 400, temperature: 0 } });
assert.ok(['Rome', 'Oslo'].includes(JSON.parse(formed.message.content).city));

const shown = await client.show({ model: 'a' });
assert.equal(shown.model_info['llama.context_length'], 4096);

for (const stream of [false, true]) {
  await assert.rejects(client.chat({ model: 'nosuch', messages, stream }), (error) => {
    assert.equal(error.name, 'ResponseError');
    assert.equal(error.status_code, 404);
    assert.match(error.message, /nosuch/);
    return true;
  });
}

// A stream that is given up half way.
const dropped = await client.chat({ model: 'a', messages, options: { num_predict: 3000 }, stream: true });
await assert.rejects(async () => {
  for await (const part of dropped) {
    if (part.message.content) dropped.abort();
  }
}, { name: 'AbortError' });
console.log('done');
