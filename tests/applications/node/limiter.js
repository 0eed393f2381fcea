// Somebody may do something a hundred times, and tries more often; the primary is killed in the middle.
const { RateLimiterRedis } = require('rate-limiter-flexible');
const site = require('./site');

async function main() {
  const client = site.connect();
  const limiter = new RateLimiterRedis({ storeClient: client, points: 100, duration: 3600 });
  for (let i = 0; i < 120; i++) {
    if (i === 50) site.killPrimary();
    try {
      const { consumedPoints } = await limiter.consume('somebody');
      site.leave('granted', consumedPoints);
    } catch (refusal) {
      // Whoever is refused is told when to come again; anything else is an error.
      if (refusal.msBeforeNext === undefined) throw refusal;
      site.leave('refused', refusal.consumedPoints);
    }
  }
  site.leave('ended', 'ended');
  client.disconnect();
}

main();
