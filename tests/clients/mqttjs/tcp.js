// The example of MQTT.js' own manual, over TCP.
const mqtt = require('mqtt')

const client = mqtt.connect('mqtt://localhost:1883')

client.on('connect', () => {
  console.log('connected')
  client.subscribe('presence', (error) => {
    if (error) throw error
    client.publish('presence', 'Hello mqtt')
  })
})

client.on('message', (topic, message) => {
  console.log(`${topic}: ${message}`)
  client.end()
})
