// Does what the README's first screen says, word for word, in an empty folder of a machine that has Node and npm and nothing
// else: installs, pastes the file, runs it. Then it behaves as a person does: opens the page, logs in by its form, sees who is
// signed in, and logs out. Only the package's own name is replaced, by the tarball that would be published.
// Another README can be given: node scripts/test-readme.mjs other.md
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { CookieJar } from 'tough-cookie'

const MOST_SECONDS = 60
const VISITOR = 'Ann O\'Neill <3'

const root = fileURLToPath(new URL('..', import.meta.url))
const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), `${name}-readme-`))
const shop = join(folder, 'empty')

/** The first command that installs, the first file after it and the command that runs that file. */
function firstScreen (readme) {
  const blocks = [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
  const at = blocks.findIndex(([, language, code]) => language === 'sh' && code.startsWith('npm install '))
  const [[, , install] = [], [, kind, file] = [], [, , run] = []] = at === -1 ? [] : blocks.slice(at, at + 3)
  if (kind !== 'js' || !run?.startsWith('node ')) throw new Error('The README has no command, file and command on its first screen.')
  return { install, file, run: run.trim(), path: run.trim().split(' ')[1] }
}

/** A folder for PATH. `sh` is there because npm runs the install scripts of packages by it, as every machine does. */
function onlyNode () {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const npm = spawnSync('/bin/sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).stdout.trim()
  for (const [program, target] of [['node', process.execPath], ['npm', npm], ['sh', '/bin/sh']]) symlinkSync(target, join(bin, program))
  return bin
}

/** Nothing of ours but where packages are fetched from. */
function environment () {
  const kept = /^(HOME|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|npm_config_(registry|cache|userconfig|globalconfig))$/i
  const own = Object.entries(process.env).filter(([key]) => kept.test(key))
  return { ...Object.fromEntries(own), PATH: onlyNode(), npm_config_prefer_offline: 'true', npm_config_audit: 'false' }
}

function pack () {
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--pack-destination', folder], { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm pack failed\n${stdout}${stderr}`)
  return join(folder, readdirSync(folder).find(file => file.endsWith('.tgz')))
}

function install (command, tarball, env) {
  const words = command.trim().split(' ')
  if (words.filter(word => word === name).length !== 1) throw new Error(`The command does not install ${name}: ${command}`)
  const said = words.map(word => word === name ? `'${tarball}'` : word).join(' ')
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', said], { cwd: shop, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${said}\n${stdout}${stderr}`)
}

async function freePort () {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Starts the application; resolves with its address when it listens. */
async function start (command, env) {
  const port = await freePort()
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], { cwd: shop, env: { ...env, PORT: String(port) }, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  const told = new Promise((resolve, reject) => {
    const hear = chunk => {
      printed += String(chunk)
      if (printed.includes('Server listening')) resolve(`http://localhost:${port}`)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', code => { reject(new Error(`${command} ended with ${code}\n${printed}`)) })
    setTimeout(reject, MOST_SECONDS * 1000, new Error(`${command} does not listen\n${printed}`)).unref()
  })
  return { child, address: told, log: () => printed }
}

/** A browser with one tab: keeps cookies, follows redirects, sends forms. */
class Person {
  #jar = new CookieJar()
  #address

  constructor (address) {
    this.#address = address
  }

  async cookies () {
    return await this.#jar.getCookieString(this.#address)
  }

  async open (path, init = {}) {
    const url = new URL(path, this.#address)
    const cookie = await this.#jar.getCookieString(url.href)
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, ...(cookie !== '' && { cookie }) } })
    for (const text of response.headers.getSetCookie()) await this.#jar.setCookie(text, url.href)
    if (response.status >= 300 && response.status < 400) return await this.open(response.headers.get('location'))
    const page = await response.text()
    if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${path}: ${response.status} ${page}`)
    return page
  }

  /** Sends the form of a page, with what was typed into its first field. */
  async send (page, typed) {
    const [, form = '', inside = ''] = /<form\b([^>]*)>([\s\S]*?)<\/form>/.exec(page) ?? []
    const attribute = (text, key) => new RegExp(`\\b${key}="([^"]*)"`).exec(text)?.[1]
    const field = attribute(/<input\b[^>]*>/.exec(inside)?.[0] ?? '', 'name')
    if (attribute(form, 'action') === undefined || (typed !== undefined) !== (field !== undefined)) throw new Error(`not the form that is expected: ${page}`)
    const body = new URLSearchParams(typed === undefined ? {} : { [field]: typed })
    return await this.open(attribute(form, 'action'), { method: attribute(form, 'method').toUpperCase(), body })
  }
}

function see (holds, what, page) {
  if (!holds) throw new Error(`${what}: ${page}`)
  console.log(`passed: ${what}`)
}

/** The signed-in page shows the name, whatever is in it, and never as HTML. */
const showsVisitor = page => page.replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(code)).includes(VISITOR) && !page.includes(VISITOR)

async function visit (address, begun) {
  const person = new Person(address)
  const signedIn = await person.send(await person.open('/'), VISITOR)
  const seconds = (performance.now() - begun) / 1000
  see(showsVisitor(signedIn), 'the log-in leads to the signed-in page', signedIn)
  see(seconds < MOST_SECONDS, `from the end of the download to the signed-in page it took ${seconds.toFixed(1)} s, of ${MOST_SECONDS}`, '')

  const again = await person.open('/')
  see(showsVisitor(again), 'who comes again is still signed in', again)
  const stranger = await new Person(address).open('/')
  see(!showsVisitor(stranger), 'somebody else is not', stranger)

  const stolen = await person.cookies()
  await person.send(again)
  const after = await person.open('/')
  see(!showsVisitor(after), 'after the log-out nothing private is shown', after)
  const copy = await new Person(address).open('/', { headers: { cookie: stolen } })
  see(!showsVisitor(copy), 'nor to a copy of the cookie', copy)
}

let child
try {
  const screen = firstScreen(readFileSync(process.argv[2] ?? join(root, 'README.md'), 'utf8'))
  const tarball = pack()
  const env = environment()
  mkdirSync(shop)
  const download = performance.now()
  install(screen.install, tarball, env)
  const begun = performance.now()
  console.log(`passed: the command of the README installs, in ${((begun - download) / 1000).toFixed(1)} s`)
  writeFileSync(join(shop, screen.path), screen.file)
  const application = await start(screen.run, env)
  child = application.child
  try {
    await visit(await application.address, begun)
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${application.log()}`)
  }
} catch (error) {
  console.error(`failed: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
} finally {
  if (child?.exitCode === null) {
    child.removeAllListeners('exit')
    child.kill()
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
}
