import { isObject } from '../lib/checks.js'

/** A JSON object of a file of the operator's, copied; undefined for what is none. */
export function objectIn (text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}
