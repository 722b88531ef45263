import { stripVTControlCharacters, styleText } from 'node:util'

/** Where a command's words go. */
export interface Sink {
  write (text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

export type Colour = 'green' | 'yellow' | 'red' | 'dim' | 'bold'

/** Results on one stream, everything else on the other, and colours for people only. */
export class Output {
  readonly #out: Sink
  readonly #err: Sink
  readonly #isColourful: (sink: Sink) => boolean

  constructor (out: Sink, err: Sink, mayColour: boolean) {
    this.#out = out
    this.#err = err
    this.#isColourful = sink => mayColour && sink.isTTY === true
  }

  /** A result. */
  print (text: string): void {
    this.#out.write(`${text}\n`)
  }

  printJson (value: unknown, replacer?: (name: string, value: unknown) => unknown): void {
    this.print(visible(JSON.stringify(value, replacer, 2)))
  }

  /** A remark, which is no part of the result. */
  note (text: string): void {
    this.#err.write(`${text}\n`)
  }

  colour (colour: Colour, text: string): string {
    return this.#paint(this.#out, colour, text)
  }

  warn (text: string): void {
    this.note(`${this.#paint(this.#err, 'yellow', 'warning:')} ${text}`)
  }

  fail (text: string): void {
    this.note(`${this.#paint(this.#err, 'red', 'error:')} ${text}`)
  }

  get err (): Sink { return this.#err }

  #paint (sink: Sink, colour: Colour, text: string): string {
    // It would look at the process's own stream, which need not be this one.
    return this.#isColourful(sink) ? styleText(colour, text, { validateStream: false }) : text
  }
}

// The names and texts of a table are whatever was put there, and a terminal obeys some of it: controls, and marks that turn
// the direction of what follows.
const UNSEEN = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** JSON in which all that a terminal obeys is written out. Lines end as they do: those in texts are written out already. */
function visible (json: string): string {
  return json.replace(UNSEEN, sign => Array.from({ length: sign.length }, (_, index) => `\\u${sign.charCodeAt(index).toString(16).padStart(4, '0')}`).join(''))
}

/** Text of unknown origin, in quotes, with nothing in it that a terminal obeys. */
export function quote (text: string): string {
  return visible(JSON.stringify(text))
}

export type Align = 'left' | 'right'

/** Columns as wide as their widest cell. */
export function columns (rows: ReadonlyArray<readonly string[]>, aligns: readonly Align[]): string[] {
  const widths = aligns.map((_, index) => Math.max(...rows.map(row => widthOf(row[index] ?? ''))))
  return rows.map(row => aligns.map((align, index) => {
    const cell = row[index] ?? ''
    const gap = ' '.repeat((widths[index] as number) - widthOf(cell))
    return align === 'left' ? cell + gap : gap + cell
  }).join('  ').trimEnd())
}

function widthOf (cell: string): number {
  return stripVTControlCharacters(cell).length
}

/** Bytes as people read them. */
export function bytesText (bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(1)} KB`
}

/** Epoch seconds as people read them; what is no instant of any calendar stays a number. */
export function instantText (seconds: number): string {
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000Z', 'Z')
}

export function count (amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString('en-US')} ${amount === 1 ? one : many}`
}
