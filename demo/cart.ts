import type { Session } from '../index.js'

export interface CartItem { name: string, quantity: number }

declare module '../index.js' {
  interface SessionData {
    name: string
    count: number
    items: CartItem[]
  }
}

const MOST_ITEMS = 20
const MOST_OF_ONE = 99

/** Puts an item into the cart. False where the cart is full. */
export function addItem (session: Session, name: string, quantity: number): boolean {
  const items = session.items ??= []
  const known = items.find(item => item.name === name)
  if (known === undefined && items.length >= MOST_ITEMS) return false
  // Changed in place, without another `set`: the session compares at the end of the request.
  if (known === undefined) items.push({ name, quantity })
  else known.quantity = Math.min(MOST_OF_ONE, known.quantity + quantity)
  return true
}

/** Changes how many of an item there are; with none left, it goes. */
export function changeItem (session: Session, name: string, by: number): void {
  const items = session.get('items') ?? []
  const index = items.findIndex(item => item.name === name)
  const item = items[index]
  if (item === undefined) return
  item.quantity = Math.min(MOST_OF_ONE, item.quantity + by)
  if (item.quantity < 1) items.splice(index, 1)
}
