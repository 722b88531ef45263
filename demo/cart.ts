import type { Session } from '../index.js'
import { findProduct, type Product } from './products.js'

export interface CartLine { product: string, quantity: number, engraving: string }

export interface Cart { lines: CartLine[], wrapped: boolean }

declare module '../index.js' {
  interface SessionData {
    name: string
    basket: Cart
  }
}

export const MOST_OF_ONE = 999

/**
 * Changes the cart by what is stored, whatever other tabs do meanwhile: with `get` and `set`, the later of two requests
 * would write its own cart over that of the other. Resolves with the cart as it is then.
 */
export async function changeCart (session: Session, change: (cart: Cart) => void): Promise<Cart> {
  let changed: Cart = { lines: [], wrapped: false }
  await session.update('basket', (cart = { lines: [], wrapped: false }) => {
    change(cart)
    changed = cart
    return cart
  })
  return changed
}

export function addProduct (cart: Cart, product: string): void {
  const line = cart.lines.find(line => line.product === product)
  if (line === undefined) cart.lines.push({ product, quantity: 1, engraving: '' })
  else line.quantity = Math.min(MOST_OF_ONE, line.quantity + 1)
}

export function takeProduct (cart: Cart, product: string): void {
  const line = cart.lines.find(line => line.product === product)
  if (line === undefined) return
  line.quantity -= 1
  cart.lines = cart.lines.filter(({ quantity }) => quantity > 0)
}

export function engrave (cart: Cart, product: string, engraving: string): void {
  const line = cart.lines.find(line => line.product === product)
  if (line !== undefined) line.engraving = engraving
}

/** A line as a page shows it. */
export interface ShownLine extends Product { readonly quantity: number, readonly engraving: string, readonly sum: number }

export interface ShownCart {
  readonly lines: readonly ShownLine[]
  readonly wrapped: boolean
  readonly count: number
  readonly total: number
}

export function shownCart (cart: Cart | undefined): ShownCart {
  const lines = (cart?.lines ?? []).flatMap(({ product: id, quantity, engraving }) => {
    const product = findProduct(id)
    return product === undefined ? [] : [{ ...product, quantity, engraving, sum: product.price * quantity }]
  })
  return {
    lines,
    wrapped: cart?.wrapped === true,
    count: lines.reduce((sum, { quantity }) => sum + quantity, 0),
    total: lines.reduce((total, { sum }) => total + sum, 0)
  }
}

export function countOf (cart: Cart | undefined, product: string): number {
  return cart?.lines.find(line => line.product === product)?.quantity ?? 0
}
