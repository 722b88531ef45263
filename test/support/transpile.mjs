// Compiles TypeScript for the tests. tsx's own output carries no sources, and without them coverage counts every line as covered;
// tap's own compiler takes seconds for each file. What was compiled once is kept for the other processes, of which there is one
// for each test file.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { isMainThread } from 'node:worker_threads'
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'

/** By a hash of the source. tap keeps there what it needs for a run. */
const KEPT = new URL('../../.tap/transpiled/', import.meta.url)

if (isMainThread) register(import.meta.url)

/** What an application imports, by the names of tsconfig.json. */
const ENTRIES = Object.entries(JSON.parse(readFileSync(new URL('../../tsconfig.json', import.meta.url), 'utf8')).compilerOptions.paths)
const OURS = new Map(ENTRIES.map(([name, [file]]) => [name, new URL(`../../${file}`, import.meta.url).href]))

/** A hook of Node's module loader: TypeScript names its modules by what they will be. */
export async function resolve (specifier, context, next) {
  const ours = OURS.get(specifier)
  if (ours !== undefined) return { url: ours, format: 'module', shortCircuit: true }
  if (/^\..*\.[jt]s(\?|$)/.test(specifier) && context.parentURL?.endsWith('.ts')) {
    const url = new URL(specifier, context.parentURL)
    url.pathname = url.pathname.replace(/\.js$/, '.ts')
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true }
  }
  return await next(specifier, context)
}

/** The other. */
export async function load (url, context, next) {
  if (!/^file:[^?]*\.ts(\?|$)/.test(url)) return await next(url, context)
  const file = fileURLToPath(url)
  const { source, kept } = await place(file)
  const code = await readFile(kept, 'utf8').catch(async () => await transpile(file, source, kept))
  return { format: 'module', source: code, shortCircuit: true }
}

/** Compiles what is missing of these files at once: each process by itself would start a compiler of its own. */
export async function prepare (files) {
  await Promise.all(files.map(async file => {
    const { source, kept } = await place(file)
    if (!existsSync(kept)) await transpile(file, source, kept)
  }))
}

async function place (file) {
  const source = await readFile(file, 'utf8')
  return { source, kept: new URL(`${createHash('sha256').update(`${file}\n${source}`).digest('base64url')}.js`, KEPT) }
}

async function transpile (file, source, kept) {
  const { transform } = await import('esbuild')
  const { code } = await transform(source, { loader: 'ts', target: 'node20', sourcefile: file, sourcemap: 'inline', sourcesContent: true })
  await mkdir(KEPT, { recursive: true })
  // Whole at once, because others read it.
  const draft = new URL(`${kept.href}.${process.pid}`)
  await writeFile(draft, code)
  await rename(draft, kept)
  return code
}
