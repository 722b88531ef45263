// What tools and processes find in the package once it is installed.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { ENTRIES } from './applications.mjs'
import { assert, node } from './steps.mjs'
import { manifest, root } from './tarball.mjs'

/** What an entry loads beside the SDK. Neither undici, which comes with the first client, nor Fastify, of which only types are taken. */
const SMALL = ['@aws-sdk/util-dynamodb', '@fastify/cookie', '@fastify/error', 'cookie', 'fastify-dynamodb-session', 'fastify-plugin']
const PLUGIN = [...SMALL, 'fastest-levenshtein', 'lru-cache', 'vary']
const LOADED = {
  'fastify-dynamodb-session': PLUGIN,
  'fastify-dynamodb-session/bare': PLUGIN,
  'fastify-dynamodb-session/import': [...SMALL, 'fastest-levenshtein'],
  'fastify-dynamodb-session/store': [...SMALL, 'fastest-levenshtein', 'lru-cache'],
  'fastify-dynamodb-session/testing': SMALL
}

/** Entries that keep sessions. The SDK, with what it brings along, is their application's own. */
const WITH_SDK = ['fastify-dynamodb-session', 'fastify-dynamodb-session/bare', 'fastify-dynamodb-session/store']

export class Checks {
  constructor (packed, installed) {
    this.packed = packed
    this.installed = installed
    for (const probe of ['quiet-probe.mjs', 'load-probe.mjs']) copyFileSync(fileURLToPath(new URL(probe, import.meta.url)), join(installed, probe))
  }

  async checkByPublint () {
    const { messages } = await publint({ pkgDir: join(this.installed, 'node_modules', manifest.name), strict: true, pack: false })
    assert(messages.length === 0, messages.map(message => formatMessage(message, manifest)).join('\n'))
  }

  async checkByTypesWrong () {
    const program = createRequire(import.meta.url).resolve('@arethetypeswrong/cli/package.json').replace(/package\.json$/, 'dist/index.js')
    await node([program, this.packed.path, '--profile', 'esm-only', '--no-color'], { cwd: root })
  }

  /** Everything in one file, as far as it is needed. */
  async bundle (contents, options = {}) {
    const { outputFiles, metafile } = await build({
      stdin: { contents, resolveDir: this.installed }, bundle: true, platform: 'node', format: 'esm', write: false, metafile: true, logLevel: 'silent', ...options
    })
    return { code: outputFiles[0].text.trim(), packages: packagesIn(Object.keys(metafile.inputs)) }
  }

  async checkShaking () {
    const unused = `import plugin, { SessionManager } from 'fastify-dynamodb-session'; import { pyramidSession } from 'fastify-dynamodb-session/import'
      import { DynamoStore } from 'fastify-dynamodb-session/store'; import { signIn } from 'fastify-dynamodb-session/testing'; ${ENTRIES.map(entry => `import '${entry}'`).join(';')}`
    const { code } = await this.bundle(unused)
    assert(code === '', `an import that uses nothing leaves ${code.length} bytes`)
    const { code: all } = await this.bundle(unused, { ignoreAnnotations: true, packages: 'external' })
    assert(all !== '', 'nothing is left whatever is imported: this check checks nothing')
    const { code: reader, packages } = await this.bundle('import { pyramidSession } from \'fastify-dynamodb-session/import\'; console.log(pyramidSession)')
    const heavy = packages.filter(name => /^(undici|@aws-sdk\/client-dynamodb|fastify)$/.test(name))
    assert(heavy.length === 0, `a reader takes ${heavy.join(', ')} along`)
    return `an empty file; one reader takes ${Math.round(reader.length / 1000)} kB`
  }

  async probe (program, ...args) {
    const { stdout, stderr } = await node([program, ...args], { cwd: this.installed })
    assert(stderr === '', `${args[0]} prints ${stderr}`)
    return JSON.parse(stdout)
  }

  /** The SDK sets a global of its own (`awslambda`), so that it is loaded first where it is needed. */
  async checkQuiet () {
    for (const entry of ENTRIES) {
      const { started, changed } = await this.probe('quiet-probe.mjs', entry, ...WITH_SDK.includes(entry) ? ['@aws-sdk/client-dynamodb'] : [])
      assert(started.length === 0, `import of ${entry} starts ${started.join(', ')}`)
      assert(changed.length === 0, `import of ${entry} changes ${changed.join(', ')}`)
    }
  }

  async checkRequired () {
    const { stdout, stderr } = await node(['--eval', ENTRIES.map(entry => `require('${entry}')`).join(';')], { cwd: this.installed })
    assert(stdout + stderr === '', stdout + stderr)
  }

  async checkLoads () {
    const notes = []
    for (const entry of ENTRIES) {
      const loaded = await this.probe('load-probe.mjs', entry)
      const sdk = WITH_SDK.includes(entry) ? await this.probe('load-probe.mjs', '@aws-sdk/client-dynamodb') : []
      const own = loaded.filter(name => LOADED[entry].includes(name) || !sdk.includes(name))
      assert(String(own) === String([...LOADED[entry]].sort()), `import of ${entry} loads ${own.join(', ')}`)
      notes.push(own.length - 1)
    }
    return `${notes.join(', ')} small packages`
  }

  checks () {
    return {
      'publint (strict) finds nothing': async () => { await this.checkByPublint() },
      'are the types wrong (esm-only) finds nothing': async () => { await this.checkByTypesWrong() },
      'what is not used is not in a bundle': async () => await this.checkShaking(),
      'an import of any entry starts nothing, changes nothing that is shared and prints nothing': async () => { await this.checkQuiet() },
      'nor does CommonJS print a warning when it requires them': async () => { await this.checkRequired() },
      'an import loads what it needs: no undici, no Fastify, and no SDK for readers and tests': async () => await this.checkLoads()
    }
  }
}

function packagesIn (files) {
  return [...new Set(files.flatMap(file => /.*node_modules\/((?:@[\w.-]+\/)?[\w.-]+)/.exec(file)?.[1] ?? []))]
}
