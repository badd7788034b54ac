// The page of a customer. It calls Looker straight from the browser, with the official SDK and the
// customer's own token, which the service hands out. No key is here.
import { me, run_look } from '@looker/sdk'
import { AuthSession, BrowserTransport, DefaultSettings, functionalSdk } from '@looker/sdk-rtl'
import type { IRequestProps } from '@looker/sdk-rtl'

const renewBefore = 60 // seconds before the end; /looker-token answers with 5 minutes or more

interface Token {
  access_token: string
  expires_in: number
}

// CustomerSession is a session of the SDK's whose tokens come from /looker-token.
class CustomerSession extends AuthSession {
  private token?: Token
  private expiry = 0 // in the time of this browser
  private pending?: Promise<Token>

  constructor(settings: any) {
    super(settings, new Transport(settings))
    const transport = this.transport as Transport
    transport.renew = () => this.ask('rejected=true')
  }

  // secondsLeft is how long the token lives yet.
  secondsLeft() {
    return Math.max(0, Math.floor((this.expiry - Date.now()) / 1000))
  }

  isAuthenticated() {
    return this.secondsLeft() > 0
  }

  async getToken() {
    if (this.token && this.secondsLeft() > renewBefore) return this.token
    try {
      return await this.ask()
    } catch (failure) {
      if (this.token && this.isAuthenticated()) return this.token // the service may be restarting
      throw failure
    }
  }

  // ask gets a token from the service, one for all that want it now.
  private ask(query = '') {
    this.pending ??= this.fetchToken(query).finally(() => (this.pending = undefined))
    return this.pending
  }

  private async fetchToken(query: string): Promise<Token> {
    const asked = Date.now()
    const answer = await fetch('/looker-token?' + query, { method: 'POST' })
    if (answer.status === 401 || answer.status === 403) location.reload() // to sign in, or see why
    if (!answer.ok) throw new Error(await answer.text())
    const token: Token = await answer.json()
    this.token = token
    this.expiry = asked + token.expires_in * 1000
    return token
  }

  async authenticate(props: IRequestProps) {
    const token = await this.getToken()
    props.mode = 'cors'
    props.credentials = 'omit'
    props.headers = { ...props.headers, Authorization: 'Bearer ' + token.access_token }
    return props
  }
}

// Transport sends a request once more if Looker has revoked the token before its time.
class Transport extends BrowserTransport {
  renew = async (): Promise<unknown> => undefined

  async rawRequest(...request: Parameters<BrowserTransport['rawRequest']>) {
    const answer = await super.rawRequest(...request)
    if (answer.statusCode !== 401) return answer
    await this.renew()
    return super.rawRequest(...request)
  }
}

const element = (id: string) => document.getElementById(id)!
const { looker, look } = document.body.dataset
const session = new CustomerSession({ ...DefaultSettings(), base_url: looker! })
const sdk = functionalSdk(session, '4.0', '26.12')

type Row = Record<string, string | number | null>

// show gets the customer's name and rows from Looker, and puts them on the page.
async function show() {
  document.body.classList.add('loading')
  try {
    const rows = run_look(sdk, { look_id: look!, result_format: 'json' })
    const customer = await sdk.ok(me(sdk, 'id,display_name'))
    element('name').textContent = customer.display_name ?? ''
    showRows((await sdk.ok(rows)) as unknown as Row[])
    showNotice('')
  } catch (failure) {
    showNotice((failure as Error).message)
  }
  document.body.classList.remove('loading')
  showToken()
}

function showRows(rows: Row[]) {
  const fields = Object.keys(rows[0] ?? {})
  const numeric = fields.filter((field) => rows.every((row) => typeof row[field] === 'number'))
  const summed = numeric.filter((field) => !/(^|\.)id$/.test(field))
  const sum = (field: string) => rows.reduce((all, row) => all + Number(row[field]), 0)
  const most = (field: string) => Math.max(...rows.map((row) => Number(row[field])))

  element('figures').replaceChildren(
    figure('Orders', String(rows.length)),
    ...summed.map((field) => figure(label(field), sum(field).toLocaleString('en'))),
  )
  const header = document.createElement('tr')
  for (const field of fields) {
    cell(header, 'th', label(field)).classList.toggle('number', numeric.includes(field))
  }
  element('head').replaceChildren(header)
  element('rows').replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement('tr')
      for (const field of fields) {
        const value = row[field]
        const td = cell(line, 'td', '')
        td.classList.toggle('number', numeric.includes(field))
        if (field === summed.at(-1)) {
          td.classList.add('bar')
          td.style.setProperty('--share', `${(100 * Number(value)) / most(field)}%`)
        }
        const text = summed.includes(field) ? value!.toLocaleString('en') : `${value ?? ''}`
        cell(td, 'span', text).className = label(field) === 'Status' ? 'badge ' + text : ''
      }
      return line
    }),
  )
}

// label is what to call a field: Total for orders.total.
function label(field: string) {
  const name = field.split('.').pop()!.replaceAll('_', ' ')
  return name === 'id' ? 'No.' : name[0].toUpperCase() + name.slice(1)
}

function cell(row: HTMLElement, kind: string, text: string) {
  const made = row.appendChild(document.createElement(kind))
  made.textContent = text
  return made
}

function figure(name: string, value: string) {
  const made = document.createElement('div')
  cell(made, 'span', name)
  cell(made, 'strong', value)
  return made
}

function showNotice(text: string) {
  element('notice').textContent = text
  element('notice').hidden = text === ''
}

// showToken counts down, and renews the token in time though nobody clicks.
function showToken() {
  const left = session.secondsLeft()
  const minutes = Math.floor(left / 60)
  element('left').textContent = `${minutes}:${String(left % 60).padStart(2, '0')}`
  element('left').parentElement!.style.setProperty('--left', `${Math.min(100, left / 36)}%`)
  session.getToken().catch(() => undefined) // the next second tries again
}

element('refresh').addEventListener('click', show)
setInterval(showToken, 1000)
show()
