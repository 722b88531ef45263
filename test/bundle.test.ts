import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions } from 'esbuild'
import { NOT_COVERED } from './support/children.js'
import { startService, type Service } from './support/service.js'

/** An application and the plugin in one file, as bundlers make it for AWS Lambda. */

const ENTRY = fileURLToPath(new URL('support/function.ts', import.meta.url))

/** What an ES module of bundled CommonJS needs, Fastify's own among it. */
const REQUIRE = 'import { createRequire } from \'node:module\'; const require = createRequire(import.meta.url)'

interface Bundled {
  /** The status that a visitor gets. */
  visit (): Promise<string>
  freeze (): void
  thaw (): void
  /** Closes the application; resolves, when the process has ended by itself, with its code and what it wrote to its log. */
  close (): Promise<{ code: number, log: string }>
}

async function start (t: Test, service: Service, options: BuildOptions): Promise<Bundled> {
  const outfile = join(t.testdir(), options.format === 'esm' ? 'bundle.mjs' : 'bundle.cjs')
  await build({ entryPoints: [ENTRY], bundle: true, platform: 'node', target: 'node20', minify: true, outfile, logLevel: 'error', ...options })
  const child = spawn(process.execPath, ['--no-warnings', outfile], { env: { ...process.env, ...NOT_COVERED, DYNAMODB_ENDPOINT: service.endpoint } })
  t.teardown(() => child.kill('SIGKILL'))
  let log = ''
  child.stderr.on('data', chunk => { log += String(chunk) })
  const ended = once(child, 'close') as Promise<[number]>
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => String((await lines.next()).value)
  t.equal(await line(), 'ready', log)
  return {
    visit: async () => {
      child.stdin.write('\n')
      return await line()
    },
    freeze: () => { child.kill('SIGSTOP') },
    thaw: () => { child.kill('SIGCONT') },
    close: async () => {
      child.stdin.end()
      const [code] = await ended
      return { code, log }
    }
  }
}

t.test('a bundle serves, over one connection, and ends by itself when it is closed', async t => {
  const service = await startService(t)
  const bundled = await start(t, service, { format: 'cjs' })
  t.same([await bundled.visit(), await bundled.visit(), await bundled.visit()], ['200', '200', '200'])
  t.same([service.seen.length, service.connections], [3, 1])
  t.equal((await bundled.close()).code, 0)
})

t.test('as an ES module too; frozen for a while, it finds its connections closed, and the next visit costs one call all the same', async t => {
  const service = await startService(t)
  const bundled = await start(t, service, { format: 'esm', banner: { js: REQUIRE } })
  await bundled.visit()
  for (const end of ['end', 'resetAndDestroy'] as const) {
    const before = service.seen.length
    bundled.freeze()
    await Promise.all([...service.sockets].map(async socket => {
      // Where only this half is closed, the other stays open as long as nobody reads there.
      const closed = once(socket, end === 'end' ? 'finish' : 'close')
      socket[end]()
      await closed
    }))
    const visit = bundled.visit()
    bundled.thaw()
    t.equal(await visit, '200')
    t.equal(service.seen.length - before, 1, end)
  }
  t.equal((await bundled.close()).code, 0)
})

t.test('a bundle from which undici was left out starts, answers 503, and says in its log what is missing', async t => {
  const service = await startService(t)
  const bundled = await start(t, service, { format: 'cjs', alias: { undici: 'no-undici' }, external: ['no-undici'] })
  t.same([await bundled.visit(), await bundled.visit()], ['503', '503'])
  const { code, log } = await bundled.close()
  t.equal(code, 0)
  t.match(log, /Cannot find (package|module) 'no-undici'/)
  t.equal(service.seen.length, 0)
})
