// BullMQ: no-op tasks a second, as bench/cluster_bench.cpp. A lock of 30 s for each task, renewed by the loop that runs it: one
// that blocks its loop for longer runs twice; what a process that is killed had is found by a check each 30 s.
'use strict';

const {spawn} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const [what, ...words] = process.argv.slice(2);
const options = {};
for (let i = 0; i < words.length; i += 2) options[words[i].replace(/^--/, '')] = words[i + 1];
const {Queue, QueueEvents, Worker} = require(path.join(options.modules, 'bullmq'));
const connection = {path: options.socket, maxRetriesPerRequest: null};

async function client(count) {
  const queue = new Queue('q', {connection});
  const events = new QueueEvents('q', {connection});
  await events.waitUntilReady();
  let sum = 0;
  let left = 0;
  let over;
  events.on('completed', ({returnvalue}) => {
    sum += Number(returnvalue);
    if (--left === 0) over();
  });
  events.on('failed', () => process.exit(1));
  async function run(from, until) {
    left = until - from;
    const end = new Promise((resolve) => { over = resolve; });
    for (let at = from; at < until; at += 1000) {
      const some = [];
      for (let x = at; x < Math.min(until, at + 1000); ++x) some.push({name: 'square', data: x, opts: {removeOnComplete: true}});
      await queue.addBulk(some);
    }
    await end;
  }
  await run(0, 100);
  sum = 0;
  const begin = process.hrtime.bigint();
  await run(0, count);
  const seconds = Number(process.hrtime.bigint() - begin) * 1e-9;
  if (sum !== (count - 1) * count * (2 * count - 1) / 6) throw new Error('wrong result: the sum');
  console.log(JSON.stringify({value: count / seconds}));
  process.exit(0);
}

function run() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'brood-bench-'));
  const socket = path.join(folder, 'socket');
  const started = [spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '',
    '--appendonly', 'yes', '--appendfsync', 'everysec'], {stdio: 'ignore'})];
  const more = ['--modules', options.modules, '--socket', socket, '--count', options.count];
  const wait = setInterval(() => {
    if (!fs.existsSync(socket)) return;
    clearInterval(wait);
    for (let i = 0; i < 2; ++i) started.push(spawn(process.execPath, [__filename, 'worker', ...more], {stdio: 'ignore'}));
    const one = spawn(process.execPath, [__filename, 'client', ...more], {stdio: 'inherit'});
    one.on('exit', (code) => {
      for (const each of started) each.kill('SIGKILL');
      fs.rmSync(folder, {recursive: true, force: true});
      process.exit(code === null ? 1 : code);
    });
  }, 10);
}

if (what === 'client') client(Number(options.count));
else if (what === 'worker') new Worker('q', async (job) => job.data * job.data, {connection, concurrency: 16});
else run();
