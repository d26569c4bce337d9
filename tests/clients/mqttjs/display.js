// An MQTT 5.0 subscriber that keeps its session for an hour, and finds it again after the broker was away.
const mqtt = require('mqtt')

const client = mqtt.connect('ws://localhost:8083/mqtt', {
  clientId: 'wall-display',
  protocolVersion: 5,
  clean: false,
  properties: { sessionExpiryInterval: 3600 },
  reconnectPeriod: 200,
})

client.on('connect', (connack) => {
  console.log(`connected, session present: ${connack.sessionPresent}`)
  client.subscribe('meter', { qos: 2 }, (error) => {
    if (error) throw error
    console.log('subscribed')
  })
})

client.on('message', (topic, message) => console.log(message.toString()))
client.on('error', (error) => console.error(error.message))
