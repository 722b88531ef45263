/** What YAML reads as text without quotes. Whatever might be taken for something else gets them. */
const PLAIN = /^[A-Za-z][\w:/@-]*$/
const WORDS = /^(true|false|yes|no|on|off|null|y|n)$/i

type Value = string | number | boolean | readonly Value[] | { readonly [name: string]: Value }

/** JSON's kinds of values as YAML, which is easier to read and to change. */
export function toYaml (value: unknown, indent = ''): string {
  return linesOf(value as Value, indent).join('\n')
}

function linesOf (value: Value, indent: string): string[] {
  if (Array.isArray(value)) return (value as readonly Value[]).flatMap(element => elementLines(element, indent))
  return Object.entries(value as { readonly [name: string]: Value }).flatMap(([name, member]) => {
    const key = `${indent}${scalar(name)}:`
    return typeof member === 'object' ? [key, ...linesOf(member, `${indent}  `)] : [`${key} ${scalar(member)}`]
  })
}

function elementLines (element: Value, indent: string): string[] {
  if (typeof element !== 'object') return [`${indent}- ${scalar(element)}`]
  const [first = '', ...rest] = linesOf(element, `${indent}  `)
  return [`${indent}- ${first.trimStart()}`, ...rest]
}

function scalar (value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  return PLAIN.test(value) && !value.endsWith(':') && !WORDS.test(value) ? value : JSON.stringify(value)
}
