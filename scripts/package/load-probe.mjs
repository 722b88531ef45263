// Imports what it is told and prints, as one line of JSON, the packages that this has loaded. A copy
// of this stands beside the packages.
import { createRequire, register } from 'node:module'
import { MessageChannel } from 'node:worker_threads'

const [, , entry] = process.argv

/** Runs in a thread of its own, where the modules of imports are resolved. */
const HOOKS = `
let port
export function initialize (data) { port = data.port }
export async function resolve (name, context, next) {
  const found = await next(name, context)
  port.postMessage(found.url)
  return found
}`

const { port1, port2 } = new MessageChannel()
const urls = new Set()
port1.on('message', url => { urls.add(url) })
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`, { data: { port: port2 }, transferList: [port2] })
await import(entry)
// What was required by CommonJS is told by its cache, what was imported by the hooks, whose last message may be on its way.
for (const file of Object.keys(createRequire(import.meta.url).cache)) urls.add(file)
await new Promise(resolve => { setImmediate(resolve) })
port1.close()
const packages = [...urls].flatMap(url => /.*[\\/]node_modules[\\/]((?:@[\w.-]+[\\/])?[\w.-]+)/.exec(url)?.[1] ?? [])
process.stdout.write(JSON.stringify([...new Set(packages)].sort()))
