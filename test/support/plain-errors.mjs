// tap follows every promise and socket of a test with async hooks, to know to which test an error belongs that nobody caught. Our tests make
// some hundred thousands of them, and following costs an eighth of the processor time of the whole suite. Without it such an error ends
// the process of its file, which fails with its stack: as loud, and where it happened.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const DOMAIN = 'export class Domain { destroy () {} }'

if (isMainThread) register(import.meta.url)

/** A hook of Node's module loader. */
export async function resolve (specifier, context, next) {
  if (specifier !== 'async-hook-domain') return await next(specifier, context)
  return { url: `data:text/javascript,${encodeURIComponent(DOMAIN)}`, format: 'module', shortCircuit: true }
}
