// Works off the jobs of bee_producer.js; one of them kills the primary.
const Queue = require('bee-queue');
const scripts = require('bee-queue/lib/lua');
const site = require('./site');

const queue = new Queue('work', { redis: site.connect(), stallInterval: 1500 });
const inHand = new Set();

// A new primary has no scripts, as in Redis, and bee-queue loads them once only.
queue.on('error', (error) => {
  if (/NOSCRIPT/.test(error.message)) scripts.buildCache(queue.client);
});
queue.on('succeeded', (job) => inHand.delete(job.id));
queue.process(4, async (job) => {
  inHand.add(job.id);
  site.leave('done', job.id);
  if (job.data.number === 300 && !site.killed()) {
    site.killPrimary();
    for (const id of inHand) site.leave('in_hand', id);
  }
});
// What a worker had in hand, and could not finish, is put back.
queue.checkStalledJobs(500).catch(() => {});
