// Compiles TypeScript for the tests, which tsx finds: tsx's own output carries no sources, and without them coverage counts
// every line as covered; tap's own compiler takes seconds for each file.
import { readFile } from 'node:fs/promises'
import { isMainThread } from 'node:worker_threads'
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { transform } from 'esbuild'

if (isMainThread) register(import.meta.url)

/** A hook of Node's module loader. */
export async function load (url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return await next(url, context)
  const file = fileURLToPath(url)
  const source = await readFile(file, 'utf8')
  const { code } = await transform(source, { loader: 'ts', target: 'node20', sourcefile: file, sourcemap: 'inline', sourcesContent: true })
  return { format: 'module', source: code, shortCircuit: true }
}
