// Asks a gateway as any program would; prints what came as JSON. Arguments: address, key.
import OpenAI from "openai";

const [address, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: address, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "hello there" }];

async function refused(asked) {
  try {
    await asked();
    return "not refused";
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
}

const answer = await client.chat.completions.create({ model: "router", messages, temperature: 0 });
const stream = await client.chat.completions.create({
  model: "router@v6", messages, stream: true, stream_options: { include_usage: true },
});
let streamed = "", usage = 0;
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage?.completion_tokens ?? usage;
}
const models = [];
for await (const model of client.models.list()) models.push(model.id);
const completion = await client.completions.create({ model: "base", prompt: "hi" });
const stranger = new OpenAI({ baseURL: address, apiKey: "wk-wrong", maxRetries: 0 });

console.log(JSON.stringify({
  answer: answer.choices[0].message.content,
  model: answer.model,
  streamed,
  usage,
  models,
  completion: completion.choices[0].text,
  unknown: await refused(() => client.chat.completions.create({ model: "gpt-4", messages })),
  invalid: await refused(() => client.chat.completions.create({ model: "router", messages, temperature: 7 })),
  denied: await refused(() => stranger.chat.completions.create({ model: "router", messages })),
}));
