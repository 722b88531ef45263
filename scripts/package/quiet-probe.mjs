// Imports what it is told and prints, as one line of JSON, what that has started and changed in the process. What is named
// second is imported before. A copy of this stands beside the packages.
import { createHook } from 'node:async_hooks'

const [, , entry, first] = process.argv

/** Reading files, and the machinery of promises: what an import consists of. */
const READING = /^(PROMISE|TickObject|Microtask|FSREQCALLBACK|FSREQPROMISE|FILEHANDLE|FILEHANDLECLOSEREQ)$/

/** Names and values of what every module shares. Getters are compared, and not called: some load what they stand for. */
function shared () {
  const seen = new Map()
  const note = (path, object) => {
    for (const key of Reflect.ownKeys(object)) {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key)
      seen.set(`${path}.${String(key)}`, [value, get, set])
      if (path === 'globalThis' && typeof value === 'function') note(String(key), value)
      if (path !== 'globalThis' && key === 'prototype' && value !== null) note(`${path}.prototype`, value)
    }
  }
  note('globalThis', globalThis)
  for (const event of process.eventNames()) seen.set(`process.on(${String(event)})`, [process.listenerCount(event)])
  for (const [name, value] of Object.entries(process.env)) seen.set(`process.env.${name}`, [value])
  return seen
}

function changes (before, after) {
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].filter(path => {
    const [was, is] = [before.get(path), after.get(path)]
    return was === undefined || is === undefined || was.some((part, index) => !Object.is(part, is[index]))
  })
}

// Node opens these when something asks whether they know colours, as its own assert does.
for (const stream of [process.stdout, process.stderr]) stream.hasColors?.()
if (first !== undefined) await import(first)
const started = new Set()
const hook = createHook({ init: (id, type) => { if (!READING.test(type)) started.add(type) } })
const before = shared()
hook.enable()
await import(entry)
hook.disable()
process.stdout.write(JSON.stringify({ started: [...started], changed: changes(before, shared()) }))
