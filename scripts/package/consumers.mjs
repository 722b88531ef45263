// Uses the package as applications do: from ES modules, CommonJS, TypeScript and a bundler, in folders that have nothing else.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { COMMONJS, ESM, TYPESCRIPT } from './applications.mjs'
import { assert, node, npm, run } from './steps.mjs'

const COMPILE = fileURLToPath(new URL('compile.mjs', import.meta.url))

/** What an ES module of bundled CommonJS needs, Fastify's own among it. */
const REQUIRE = 'import { createRequire } from \'node:module\'; const require = createRequire(import.meta.url)'

const COMPILER = { strict: true, target: 'es2023', types: ['node'], skipLibCheck: false, outDir: 'out', rootDir: '.' }

/** How TypeScript is told where modules are, and of which kind the application's files are. */
const KINDS = {
  nodenext: { module: 'nodenext', files: ['esm.mts', 'commonjs.cts'] },
  node20: { module: 'node20', files: ['commonjs.cts'] },
  esnext: { module: 'esnext', moduleResolution: 'bundler', files: ['bundled.ts'] },
  preserve: { module: 'preserve', moduleResolution: 'bundler', files: ['bundled.ts'] }
}

const BUNDLES = { esnext: 'esm', preserve: 'cjs' }

/** Where consumers stand. Bundles are run where no package is, so that they have to hold everything. */
export class Consumers {
  constructor (place) {
    this.installed = join(place.folder, 'consumer')
    this.lowest = join(place.folder, 'lowest')
    this.bundles = join(place.folder, 'bundles')
    this.place = place
    mkdirSync(this.bundles, { recursive: true })
  }

  async install (folder, peers) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    const flags = ['--prefer-offline', '--no-audit', '--no-fund']
    await npm(['install', ...flags, this.place.tarball, ...Object.entries(peers).map(([name, version]) => `${name}@${version}`)], { cwd: folder })
  }

  /** Runs an application, which prints nothing but that its visit was as it should be. */
  async visit (file, cwd = this.installed) {
    const { stdout } = await node(['--no-warnings', file], { cwd, env: { DYNAMODB_ENDPOINT: this.place.endpoint } })
    assert(stdout === 'visited\n', `${file} printed ${stdout}`)
  }

  async visitFrom (name, code, cwd = this.installed) {
    writeFileSync(join(cwd, name), code)
    await this.visit(name, cwd)
  }

  /** Makes an application that is to be compiled. */
  write (folder, { files, ...options }) {
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...COMPILER, ...options }, files }))
    for (const file of files) writeFileSync(join(folder, file), TYPESCRIPT)
    return folder
  }

  /** All kinds, and one more folder beside others where it is. */
  async compile () {
    const folders = Object.entries(KINDS).map(([kind, options]) => this.write(join(this.installed, kind), options))
    if (existsSync(this.lowest)) folders.push(this.write(join(this.lowest, 'nodenext'), KINDS.nodenext))
    await node([COMPILE, ...folders])
  }

  async bundle (kind, format) {
    const outfile = join(this.bundles, format === 'esm' ? `${kind}.mjs` : `${kind}.cjs`)
    const banner = format === 'esm' ? { js: REQUIRE } : {}
    const entryPoints = [join(this.installed, kind, 'bundled.ts')]
    await build({ entryPoints, bundle: true, platform: 'node', target: 'node20', format, banner, outfile, logLevel: 'error' })
    await this.visit(outfile, this.bundles)
  }

  /** By the name that npm gave it, as `npx` does. */
  async command () {
    const { name, version } = this.place.manifest
    const program = join(this.installed, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)
    for (const [args, wanted, code] of [
      [['--version'], version, 0],
      [['iam-policy', '--table', 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions'], 'dynamodb:GetItem', 0],
      [['cost', '--example'], '$134', 0],
      [['doctor'], '"--table" is required', 2]
    ]) {
      const { stdout, stderr } = await run(program, args, { cwd: this.installed, code })
      assert((stdout + stderr).includes(wanted), `${args.join(' ')}: ${stdout}${stderr}`)
    }
    const { stdout } = await npm(['exec', '--no', '--', name, '--version'], { cwd: this.installed })
    assert(stdout.includes(version), `npx: ${stdout}`)
  }

  checks () {
    const compiled = `TypeScript compiles, mistakes in keys and values do not, with absent options exact or not (${Object.keys(KINDS).join(', ')})`
    return {
      [compiled]: async () => { await this.compile() },
      'an ES module imports it and serves a visit': async () => { await this.visitFrom('esm.mjs', ESM) },
      'CommonJS requires it, by its default export and as a whole': async () => { await this.visitFrom('commonjs.cjs', COMMONJS) },
      'the program runs by the name of the package': async () => { await this.command() }
    }
  }

  /** Of what `compile` made. */
  checksOfCompiled () {
    const outputs = Object.entries(KINDS).flatMap(([kind, { moduleResolution, files }]) => {
      return moduleResolution === undefined ? files.map(file => [kind, file.replace('ts', 'js')]) : []
    })
    return {
      ...Object.fromEntries(outputs.map(([kind, file]) => [
        `what TypeScript made of it serves a visit (module ${kind}, ${file})`, async () => { await this.visit(join(this.installed, kind, 'out', file)) }
      ])),
      ...Object.fromEntries(Object.entries(BUNDLES).map(([kind, format]) => [
        `a bundle of TypeScript serves a visit where no package is (module ${kind}, ${format})`, async () => { await this.bundle(kind, format) }
      ]))
    }
  }
}
