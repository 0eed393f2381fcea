// Several who want the same mutex.  One holds it while the primary is killed, and until the others have asked the heir.
const { Mutex } = require('redis-semaphore');
const site = require('./site');

const EACH = 20;
let holders = 0;
let entered = 0;
let asked = 0;

async function hold(client) {
  site.leave('entered', ++holders);
  if (++entered === 30) {
    site.killPrimary();
    await client.set('heir', 'serves');
    const before = asked;
    while (asked < before + 12) await site.pause(5);
  }
  holders--;
}

async function want(client) {
  const counted = {
    // Whoever asks for the mutex does so by SET.
    set: async (...parameters) => {
      const answer = await client.set(...parameters);
      asked++;
      return answer;
    },
  };
  const asking = new Proxy(client, { get: (target, name) => counted[name] || target[name] });
  for (let i = 0; i < EACH; i++) {
    const mutex = new Mutex(asking, 'resource', { lockTimeout: 8000, acquireTimeout: 40000, retryInterval: 5 });
    await mutex.acquire();
    await hold(client);
    await mutex.release();
  }
}

async function main() {
  const clients = [1, 2, 3].map(() => site.connect());
  await Promise.all(clients.map(want));
  site.leave('ended', (await clients[0].exists('mutex:resource')) ? 'the mutex is taken' : 'the mutex is free');
  clients.forEach((client) => client.disconnect());
}

main();
