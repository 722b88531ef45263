import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const folder = dirname(fileURLToPath(import.meta.url))

/** Inside the tree, so that what is compiled finds its packages, this one among them. */
const output = join(dirname(folder), 'test-output', 'bench')

/** Where a program stands after it was compiled. */
export function compiled (name: string): string {
  return join(output, `${name}.mjs`)
}

/** Compiles every program that is measured, so that nothing compiles while it runs. Packages are taken as they are installed. */
export async function compile (): Promise<void> {
  const applications = readdirSync(join(folder, 'applications')).map(file => join(folder, 'applications', file))
  await build({
    entryPoints: [...applications, join(folder, 'stub-process.ts')],
    entryNames: '[name]',
    outdir: output,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // The paths of tsconfig.json lead to the sources.
    tsconfigRaw: {}
  })
}
