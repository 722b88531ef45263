import type { Session } from '../index.js'
import type { CartItem } from './cart.js'
import { html, type Markup } from './html.js'
import { panel, type RequestLine } from './panel.js'
import { STYLE_URL } from './style.js'

/** The one page of the demonstration. `remark` tells what was wrong with a form. */
export function homePage (session: Session, lines: readonly RequestLine[], remark?: string): string {
  const name = session.get('name')
  return page(html`
<main>
${remark === undefined ? [] : html`<p class="remark" role="alert">${remark}</p>`}
${name === undefined ? loginCard() : visitorCard(name)}
${counterCard(session.get('count') ?? 0)}
${cartCard(session.get('items') ?? [])}
${recordCard(session)}
</main>
${panel(lines)}`)
}

/** What a visitor sees when there is no page, or when it could not be made. */
export function problemPage (title: string, text: string, lines: readonly RequestLine[]): string {
  return page(html`
<main><section class="card wide"><h2>${title}</h2><p>${text}</p><p><a href="/">To the first page</a></p></section></main>
${panel(lines)}`)
}

function page (content: Markup): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sessions in DynamoDB</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${STYLE_URL}">
</head>
<body>
<header><h1>Sessions in DynamoDB</h1><p>What a session costs, request by request. Use the forms and watch the calls.</p></header>
${content}
</body>
</html>
`.text
}

function loginCard (): Markup {
  return html`<section class="card" id="visitor" aria-labelledby="log-in"><h2 id="log-in">Log in</h2>
<form method="post" action="/login" class="line">
<div class="field"><label for="name">Name</label><input id="name" name="name" required maxlength="40" autocomplete="nickname"></div>
<button>Log in</button>
</form><p class="hint">A name is enough. The session gets a new id and keeps its data.</p></section>`
}

function visitorCard (name: string): Markup {
  return html`<section class="card" id="visitor" aria-labelledby="hello"><h2 id="hello">Hello, ${name}</h2>
<form method="post" action="/logout"><button>Log out</button></form>
<p class="hint">Logging out deletes the record, with counter and cart.</p></section>`
}

function counterCard (count: number): Markup {
  return html`<section class="card" id="counter" aria-labelledby="count"><h2 id="count">Counter</h2>
<form method="post" action="/count" class="line"><output class="count">${count}</output><button>Count</button></form>
<p class="hint">One key of the session: only it is written.</p></section>`
}

function cartCard (items: readonly CartItem[]): Markup {
  return html`<section class="card wide" id="cart" aria-labelledby="cart-title"><h2 id="cart-title">Cart</h2>
${items.length === 0 ? html`<p class="empty">The cart is empty.</p>` : html`<ul class="items">${items.map(cartLine)}</ul>`}
<form method="post" action="/items" class="line">
<div class="field"><label for="item">Item</label><input id="item" name="name" required maxlength="40" autocomplete="off"></div>
<div class="field short"><label for="quantity">Quantity</label><input id="quantity" name="quantity" type="number" min="1" max="99" value="1" required></div>
<button>Add</button>
</form><p class="hint">Nested data, changed in place: the change is seen and saved.</p></section>`
}

function cartLine ({ name, quantity }: CartItem): Markup {
  return html`<li><form method="post" action="/items/change"><input type="hidden" name="name" value="${name}">
<span class="item">${name}</span> <span class="quantity">${quantity}</span>
<button name="by" value="-1" aria-label="One ${name} less">−</button>
<button name="by" value="1" aria-label="One ${name} more">+</button></form></li>`
}

function recordCard ({ loggableId, version, expiresAt }: Session): Markup {
  if (expiresAt === undefined) {
    return html`<section class="card wide" aria-labelledby="record"><h2 id="record">Record</h2>
<p>There is none: a visitor without data has no record, no cookie and no DynamoDB call.</p></section>`
  }
  return html`<section class="card wide" aria-labelledby="record"><h2 id="record">Record</h2>
<dl><div><dt>Key, a hash of the id</dt><dd><code>${String(loggableId)}</code></dd></div>
<div><dt>Version</dt><dd>${String(version)}</dd></div>
<div><dt>Ends, unless used before</dt><dd>${new Date(expiresAt * 1000).toISOString().slice(11, 16)} UTC</dd></div></dl></section>`
}
