// Publishes the numbers from FIRST to LAST on `meter` at QoS 2 and leaves: counter.js FIRST LAST.
const mqtt = require('mqtt')

const [first, last] = process.argv.slice(2).map(Number)
const client = mqtt.connect('mqtt://localhost:1883', { protocolVersion: 5 })

client.once('connect', async () => {
  for (let number = first; number <= last; number++) {
    await client.publishAsync('meter', String(number), { qos: 2 })
  }
  console.log('all published')
  client.end()
})
