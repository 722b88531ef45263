import { readdirSync } from 'node:fs'

/**
 * Runs the test files of a folder in this process, one after the other. A process takes a second of processor time before its
 * first test, and most of our test files take less than that by themselves.
 */
export async function runFolder (folder: string): Promise<void> {
  const files = readdirSync(new URL(`../${folder}/`, import.meta.url)).filter(file => file.endsWith('.test.ts'))
  if (files.length === 0) throw new Error(`No test file stands in test/${folder}`)
  for (const file of files) await import(`../${folder}/${file.replace(/\.ts$/, '.js')}`)
}
