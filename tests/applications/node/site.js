// What a program of node is told of the site.
const fs = require('fs');
const path = require('path');

// bee-queue knows a client by the name of its class, which ioredis' own class hides.
class Redis extends require('ioredis') {}

const sentinels = process.env.SITE_SENTINELS.split(',').map((address) => {
  const [host, port] = address.split(':');
  return { host, port: Number(port) };
});

// ioredis sends commands again whose connection is lost, until it has an answer.
exports.connect = (options) =>
  new Redis({
    sentinels,
    name: process.env.SITE_NAME,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
    sentinelRetryStrategy: () => 50,
    ...options,
  }).on('error', () => {});

const file = (name) => path.join(process.env.SITE_FOLDER, name);
exports.leave = (name, line) => fs.appendFileSync(file(name), `${line}\n`);
exports.killed = () => fs.existsSync(file('killed'));
exports.killPrimary = () => {
  process.kill(Number(process.env.SITE_PRIMARY_PID), 'SIGKILL');
  exports.leave('killed', 'killed');
};
exports.pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
