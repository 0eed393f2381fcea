// Puts a thousand jobs into the queue of bee_worker.js.  Each has a name, so that it is there once though ioredis sends it
// again.
const Queue = require('bee-queue');
const scripts = require('bee-queue/lib/lua');
const site = require('./site');

async function save(queue, number) {
  try {
    await queue.createJob({ number }).setId(`job ${number}`).save();
  } catch (error) {
    if (!/NOSCRIPT/.test(error.message)) throw error;
    await scripts.buildCache(queue.client);
    await save(queue, number);
  }
}

async function main() {
  const queue = new Queue('work', { redis: site.connect(), isWorker: false, getEvents: false, quitCommandClient: true });
  queue.on('error', () => {});
  for (let number = 0; number < 1000; number++) {
    while (number === 900 && !site.killed()) await site.pause(5);
    await save(queue, number);
    site.leave('saved', number);
  }
  await queue.close();
}

main();
