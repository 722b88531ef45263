import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { toAttributeName } from './names.js'

/**
 * Gathers an update and its condition. Every name and every value goes through a placeholder: names may be reserved words
 * or hold dots, and short placeholders keep an expression of 200 keys under DynamoDB's 4 KB.
 */
export class Expression {
  readonly #names = new Map<string, string>()
  readonly #values: Record<string, AttributeValue> = {}
  #valueCount = 0
  readonly #conditions: string[] = []
  readonly #sets: string[] = []
  readonly #removes: string[] = []
  readonly #adds: string[] = []

  name (attribute: string): string {
    const placeholder = this.#names.get(attribute) ?? `#n${this.#names.size}`
    this.#names.set(attribute, placeholder)
    return placeholder
  }

  /** A member of a map attribute, by the name that the application gave it. */
  path (attribute: string, member: string): string {
    return `${this.name(attribute)}.${this.name(toAttributeName(member))}`
  }

  value (value: AttributeValue): string {
    const placeholder = `:v${this.#valueCount++}`
    this.#values[placeholder] = value
    return placeholder
  }

  require (condition: string): void {
    this.#conditions.push(condition)
  }

  set (target: string, value: string): void {
    this.#sets.push(`${target}=${value}`)
  }

  remove (target: string): void {
    this.#removes.push(target)
  }

  add (attribute: string, value: AttributeValue): void {
    this.#adds.push(`${this.name(attribute)} ${this.value(value)}`)
  }

  /** The members of a command that only has a condition. */
  condition (): { ConditionExpression: string, ExpressionAttributeNames: Record<string, string> } {
    return { ConditionExpression: this.#conditions.join(' AND '), ExpressionAttributeNames: this.#namesByPlaceholder() }
  }

  /** The members of an update. */
  update (): {
    UpdateExpression: string
    ConditionExpression: string
    ExpressionAttributeNames: Record<string, string>
    ExpressionAttributeValues: Record<string, AttributeValue>
  } {
    const clauses = [clause('SET', this.#sets), clause('REMOVE', this.#removes), clause('ADD', this.#adds)]
    return {
      UpdateExpression: clauses.filter(text => text !== '').join(' '),
      ...this.condition(),
      ExpressionAttributeValues: this.#values
    }
  }

  #namesByPlaceholder (): Record<string, string> {
    return Object.fromEntries([...this.#names].map(([attribute, placeholder]) => [placeholder, attribute]))
  }
}

function clause (keyword: string, terms: readonly string[]): string {
  return terms.length === 0 ? '' : `${keyword} ${terms.join(',')}`
}
