// Compiles what is shipped into dist/, from nothing, so that no file of an earlier build stays in the package: the declarations of
// each room, and the code of all of them in a few files, each of which an import has to find, read and link.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1

await build({
  absWorkingDir: root,
  entryPoints: ['index.ts', 'lib/plugin.ts', 'import/index.ts', 'store/index.ts', 'testing/index.ts', 'cli/main.ts'],
  outdir: 'dist',
  outbase: '.',
  chunkNames: 'shared/[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  logLevel: 'warning',
  // The paths of tsconfig.json lead to this package itself.
  tsconfigRaw: {}
})
