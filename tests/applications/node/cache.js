// A cache of what takes long to find out, in Redis, each entry with references by which it is forgotten.
const { createCache } = require('async-cache-dedupe');
const site = require('./site');

const ENTRIES = 200;

async function main() {
  const client = site.connect();
  const cache = createCache({ ttl: 3600, storage: { type: 'redis', options: { client, invalidation: true } } });
  const references = ({ number }) => [`kind:${number % 2}`];
  cache.define('find', { references }, async ({ number }) => {
    site.leave('found', number);
    return { number };
  });
  const all = async () => {
    for (let number = 0; number < ENTRIES; number++) {
      if (number === ENTRIES / 2 && !site.killed()) site.killPrimary();
      const entry = await cache.find({ number });
      if (entry.number !== number) throw new Error(`${entry.number} for ${number}`);
    }
  };
  await all();
  await all();
  site.leave('found', 'half of it is forgotten');
  await cache.invalidateAll('kind:1');
  await all();
  site.leave('ended', 'ended');
  client.disconnect();
}

main();
