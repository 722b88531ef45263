/** Text that may go to the browser as it is. Everything else is escaped on its way into a page. */
export class Markup {
  readonly text: string

  constructor (text: string) {
    this.text = text
  }
}

type Part = string | number | Markup | readonly Markup[]

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Markup with parts put in. A page built by this tag alone cannot forget to escape what a visitor typed. */
export function html (fixed: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(String.raw({ raw: fixed }, ...parts.map(part => textOf(part))))
}

function textOf (part: Part): string {
  if (part instanceof Markup) return part.text
  if (typeof part === 'object') return part.map(({ text }) => text).join('')
  return String(part).replace(/[&<>"']/g, character => ENTITIES[character] as string)
}
