import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { makeCertificate } from './certificate.js'
import { freePort } from './engines.js'
import { findProgram, unlessMissing, type Environment } from './installed.js'

/** Where Debian puts it, which is not on every user's path. */
const USUAL_PATH = '/usr/sbin/nginx'

/** The path of nginx, or undefined where there is none. */
export function findNginx (environment: Environment = process.env, usualPath = USUAL_PATH): string | undefined {
  return findProgram(usualPath, 'apt-get install -y nginx-light', environment)
}

export function unlessNginx (path: string | undefined): ReturnType<typeof unlessMissing> {
  return unlessMissing(path, 'NGINX IS MISSING: NOT TESTED BEHIND A PROXY (apt-get install -y nginx-light)')
}

/** What a proxy that ends TLS tells of its visitor, in place of whatever that says itself. */
export const FORWARD: readonly string[] = [
  'proxy_set_header Host $http_host',
  'proxy_set_header X-Forwarded-Host $http_host',
  'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for',
  'proxy_set_header X-Forwarded-Proto $scheme'
]

/** A zone named `pages`, for directives of locations. */
const CACHE_ZONE = 'pages'

export const CACHE: readonly string[] = [
  `proxy_cache ${CACHE_ZONE}`,
  'proxy_cache_valid 200 1m',
  'proxy_cache_key $scheme$host$request_uri',
  'add_header X-Cache $upstream_cache_status'
]

export interface Nginx {
  /** One origin in the clear and one with TLS. */
  readonly http: string
  readonly https: string
  readonly cert: string
}

/** Runs nginx in front of servers on these ports, the first that answers first, until the test ends. `locations`: their directives, by path. */
export async function startNginx (t: Test, binary: string, ports: readonly number[], locations: Readonly<Record<string, readonly string[]>>): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const { cert, key } = makeCertificate()
  writeFileSync(join(folder, 'cert.pem'), cert)
  writeFileSync(join(folder, 'key.pem'), key)
  // Another process may take a port between the look and the start.
  for (let attempt = 0; ; attempt++) {
    const [plain, secure] = [await freePort(), await freePort()]
    writeFileSync(join(folder, 'nginx.conf'), configuration(folder, [plain, secure], ports, locations))
    const { started, stop } = run(binary, folder)
    const problem = await started
    t.teardown(stop)
    if (problem === undefined) return { http: `http://127.0.0.1:${plain}`, https: `https://127.0.0.1:${secure}`, cert }
    if (attempt === 3 || !problem.includes('Address already in use')) throw new Error(`nginx did not start: ${problem}`)
  }
}

/** Runs a program for as long as its standard input is open, so that it ends with the test, however that ends. */
const GUARD = 'exec 3<&0; "$@" <&- & program=$!; cat <&3 >/dev/null; kill $program 2>/dev/null; wait $program'

/** `started` resolves to what stands in the way, if anything does. */
function run (binary: string, folder: string): { started: Promise<string | undefined>, stop: () => Promise<void> } {
  const command = [binary, '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr', '-g', 'daemon off;']
  const child = spawn('sh', ['-c', GUARD, 'sh', ...command], { stdio: ['pipe', 'ignore', 'pipe'] })
  const ended = once(child, 'close')
  const started = new Promise<string | undefined>(resolve => {
    child.on('close', () => { resolve('it has ended') })
    createInterface({ input: child.stderr }).on('line', line => {
      if (line.includes('[emerg]')) resolve(line)
      if (line.includes('start worker process ')) resolve(undefined)
    })
  })
  return {
    started,
    stop: async () => {
      child.stdin.end()
      await ended
    }
  }
}

function configuration (
  folder: string, [plain, secure]: readonly [number, number], ports: readonly number[], locations: Readonly<Record<string, readonly string[]>>
): string {
  const lines = (directives: readonly string[]): string => directives.map(directive => `${directive};`).join('\n')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${join(folder, name)}`)
  const places = Object.entries(locations).map(([path, directives]) => `location ${path} {\n${lines([...directives, 'proxy_pass http://application/'])}\n}`)
  return `${lines([
    // Its workers would else be a user who may not look into the folder.
    ...process.getuid?.() === 0 ? ['user root'] : [],
    'worker_processes 1',
    `pid ${join(folder, 'nginx.pid')}`,
    'error_log stderr notice'
  ])}
events { worker_connections 64; }
http {
${lines([...temporary, 'access_log off', `proxy_cache_path ${join(folder, 'cache')} keys_zone=${CACHE_ZONE}:1m`])}
upstream application {
${lines(ports.map(port => `server 127.0.0.1:${port}`))}
}
server {
${lines([
  `listen 127.0.0.1:${plain}`,
  `listen 127.0.0.1:${secure} ssl http2`,
  `ssl_certificate ${join(folder, 'cert.pem')}`,
  `ssl_certificate_key ${join(folder, 'key.pem')}`
])}
${places.join('\n')}
}
}
`
}
