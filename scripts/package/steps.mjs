// Runs commands and checks, some at a time, and says what passed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** What a command wrote. It throws when the command fails, or does not end by itself. */
export async function run (command, args, { cwd, env = {}, code: wanted = 0 } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, timeout: 600_000, stdio: ['ignore', 'pipe', 'pipe'], shell: command.endsWith('.cmd') })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', chunk => { stdout += String(chunk) })
  child.stderr.on('data', chunk => { stderr += String(chunk) })
  const [code, signal] = await once(child, 'close')
  if (code !== wanted) throw new Error(`${command} ${args.join(' ')}: ended with ${signal ?? code}\n${stdout}${stderr}`)
  return { stdout, stderr }
}

export async function node (args, options) {
  return await run(process.execPath, args, options)
}

export async function npm (args, options) {
  return await run(process.platform === 'win32' ? 'npm.cmd' : 'npm', args, options)
}

/** Throws unless it holds. */
export function assert (holds, message) {
  if (!holds) throw new Error(message)
}

/** Checks, each with a title that says what holds when it passes. What a check returns is printed beside the title. */
export class Steps {
  failed = 0

  async check (title, work) {
    const begin = performance.now()
    try {
      const note = await work()
      console.log(`passed: ${title}${note === undefined ? '' : `: ${note}`} (${((performance.now() - begin) / 1000).toFixed(1)} s)`)
    } catch (error) {
      this.failed++
      console.error(`failed: ${title}\n${error instanceof Error ? error.message : error}`)
    }
  }

  /** Two at a time, each begun when one before it has ended: compilers and installers take a processor for themselves. */
  async all (checks) {
    const waiting = Object.entries(checks)
    const lane = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await this.check(...next)
    }
    await Promise.all([lane(), lane()])
  }
}
