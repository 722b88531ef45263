// Everything works without this file: it makes the panel live, the countdown run, and says what a slow request is waiting for.
const announcer = document.getElementById('announcer')

function announce (text) {
  if (announcer !== null) announcer.textContent = text
}

// The live parts. A browser allows six connections to a server: pages that nobody looks at give theirs back.
const parts = document.querySelectorAll('[data-live]')
let events

function connect () {
  events = new window.EventSource('/events')
  for (const name of ['panel', 'chart', 'comparison']) {
    events.addEventListener(name, ({ data }) => {
      for (const part of parts) if (part.dataset.live === name) part.innerHTML = data
    })
  }
}

function listen () {
  events?.close()
  if (!document.hidden) connect()
}

document.addEventListener('visibilitychange', listen)
listen()

// A browser may bring back a page as it was, with the back button: it is asked for anew, since its session may have ended.
window.addEventListener('pageshow', ({ persisted }) => { if (persisted) window.location.reload() })

// The countdown. No request is made by it, since each request would begin the time anew.
const timer = document.querySelector('[role=timer]')

if (timer !== null) {
  const { key } = timer.dataset
  const tabs = new BroadcastChannel('session')
  let endsAt = Date.now() + Number(timer.dataset.seconds) * 1000
  let isTold = false

  // Another tab of the same session may have begun the time anew, or chosen a shorter one.
  tabs.postMessage({ key, endsAt })
  tabs.addEventListener('message', ({ data }) => {
    if (data.key !== key) return
    isTold &&= data.endsAt <= endsAt
    endsAt = data.endsAt
  })

  const ticking = setInterval(tick, 250)
  tick()

  function tick () {
    const seconds = Math.max(0, Math.ceil((endsAt - Date.now()) / 1000))
    timer.textContent = `in ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
    timer.classList.toggle('soon', seconds <= 10)
    if (seconds <= 10 && !isTold) {
      isTold = true
      announce('Your session ends in ten seconds unless you go on.')
    }
    if (seconds === 0) putAway()
  }

  function putAway () {
    clearInterval(ticking)
    const content = document.getElementById('content')
    content.replaceChildren(document.getElementById('time-out').content.cloneNode(true))
    document.querySelector('.visitor').remove()
    document.title = `Your time ran out · ${document.title}`
    content.querySelector('h1').focus()
  }
}

// While a slow request is under way, this page stays, and its button does not ask the bank twice.
for (const form of document.querySelectorAll('[data-slow]')) {
  form.addEventListener('submit', () => {
    const note = document.createElement('p')
    note.className = 'slow'
    note.textContent = form.dataset.slow
    form.after(note)
    form.querySelector('button').disabled = true
    announce(form.dataset.slow)
  })
}
