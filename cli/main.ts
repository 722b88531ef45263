#!/usr/bin/env node
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './run.js'

const stop = new AbortController()

/** Once: what is under way ends, and says how to go on. Twice: at once. Work that does not ask for it ends as programs do. */
function listen (): AbortSignal {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { stop.abort() })
  return stop.signal
}

// A reader such as `head` may have had enough. Then there is nobody to tell anything.
process.stdout.on('error', () => process.exit(1))

process.exitCode = await run(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  env: process.env,
  now: Date.now,
  sleep: async milliseconds => { await sleep(milliseconds, undefined, { signal: stop.signal }).catch(() => {}) },
  aws: {},
  stop: listen
})
