// MQTT.js on a page in headless Chromium: browser.js ROLE ADDRESS VERSION ARGUMENTS...
//
// The page comes from another loopback origin than the broker's. What it says on its console is said here; when the client has
// ended, the browser is closed. Its profile is left in the directory for temporary files: who started us has given us one.
const { spawn } = require('node:child_process')
const { mkdtempSync, readFileSync } = require('node:fs')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

const files = {
  '/': ['text/html', page()],
  '/mqtt.js': ['text/javascript', readFileSync(join(__dirname, '../../mqttjs/node_modules/mqtt/dist/mqtt.min.js'))],
  '/roles.js': ['text/javascript', readFileSync(join(__dirname, 'roles.js'))],
}
let browser

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    let body = ''
    request.on('data', (piece) => (body += piece))
    request.on('end', () => {
      response.end()
      hear(JSON.parse(body))
    })
    return
  }
  const [type, content] = files[request.url] ?? ['text/plain', '']
  response.writeHead(content === '' ? 404 : 200, { 'content-type': type })
  response.end(content)
})

// By another name and on another port than the broker: another origin.
server.listen(0, '127.0.0.1', () => {
  const profile = mkdtempSync(join(tmpdir(), 'barnacle-browser-'))
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--disable-extensions', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--disable-background-timer-throttling', '--disable-renderer-backgrounding', `--user-data-dir=${profile}`]
  // It ends with us, by whatever death we die.
  const page = `http://localhost:${server.address().port}/`
  browser = spawn('setpriv', ['--pdeathsig', 'KILL', 'chromium', ...flags, page], { stdio: 'ignore' })
  browser.on('error', (error) => leave(`chromium does not start (${error.message}); tools/setup/test.sh installs it`))
  browser.on('exit', (code) => leave(`chromium ended with ${code}`))
})
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => leave())

function hear({ said, error, ended }) {
  if (said !== undefined) console.log(said)
  if (error !== undefined) console.error(error)
  if (ended) leave()
}

function leave(failure) {
  if (failure !== undefined) console.error(failure)
  browser.removeAllListeners('exit')
  browser.kill('SIGKILL')
  process.exit(failure === undefined ? 0 : 1)
}

function page() {
  const [role, ...rest] = process.argv.slice(2)
  return `<!doctype html><meta charset="utf-8"><title>MQTT</title>
<script src="/mqtt.js"></script><script src="/roles.js"></script>
<script>
let last = Promise.resolve()
// One after the other, so that they arrive in order.
const report = (what) => { last = last.then(() => fetch('/', { method: 'POST', body: JSON.stringify(what) })) }
console.error = (...words) => report({ error: words.join(' ') })
addEventListener('error', (event) => report({ error: event.message }))
addEventListener('unhandledrejection', (event) => report({ error: String(event.reason) }))
const connect = mqtt.connect
const watched = { ...mqtt, connect: (...how) => {
  const client = connect(...how)
  // What else the end brings about is said before.
  client.on('end', () => setTimeout(() => report({ ended: true }), 100))
  return client
} }
roles(watched, (said) => report({ said }))[${JSON.stringify(role)}](...${JSON.stringify(rest)})
</script>`
}
