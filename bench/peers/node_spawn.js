// Node's child_process: programs a second, the usual way to start them from JavaScript.
'use strict';

const {spawn} = require('node:child_process');

const options = {count: 100, 'in-flight': 1, 'heap-mib': 0, program: '/bin/true'};
for (let i = 2; i < process.argv.length; i += 2) options[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];
const count = Number(options.count);
const heap = Buffer.alloc(Number(options['heap-mib']) * 1024 * 1024, 1);

let left = count;
let alive = 0;
const begin = process.hrtime.bigint();

function startOne() {
  --left;
  ++alive;
  const child = spawn(options.program, [], {stdio: 'ignore'});
  child.on('error', (error) => {
    throw error;
  });
  child.on('exit', (code, signal) => {
    --alive;
    if (code !== 0) throw new Error(`a child ended with ${code} ${signal}`);
    if (left > 0) {
      startOne();
    } else if (alive === 0) {
      const seconds = Number(process.hrtime.bigint() - begin) * 1e-9;
      console.log(JSON.stringify({value: count / seconds}));
      if (heap.length > 0 && heap[heap.length - 1] !== 1) throw new Error('the heap was lost');
    }
  });
}

for (let i = Math.min(Number(options['in-flight']), count); i > 0; --i) startOne();
