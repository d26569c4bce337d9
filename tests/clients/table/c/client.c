/* The same with libpaho-mqtt, its asynchronous interface: client ROLE ADDRESS VERSION ARGUMENTS... */
#include <MQTTAsync.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **arguments;
static const char *role;
static int v5;
static MQTTAsync client;
static volatile int connected, over, published, left;

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static int is(const char *name) { return strcmp(role, name) == 0; }

static void check(int code, const char *what) {
    if (code == MQTTASYNC_SUCCESS) return;
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

static void failed(void *context, MQTTAsync_failureData *data) {
    fprintf(stderr, "failed: %s\n", data && data->message ? data->message : "?");
}

static void failed5(void *context, MQTTAsync_failureData5 *data) {
    fprintf(stderr, "failed: %s\n", data && data->message ? data->message : "?");
}

static void granted(int qos) {
    char line[64];
    snprintf(line, sizeof line, "granted %d", qos);
    if (is("subscribe")) say(line);
    connected = 2;
}

static void subscribed(void *context, MQTTAsync_successData *data) { granted(data->alt.qos); }

static void subscribed5(void *context, MQTTAsync_successData5 *data) { granted(data->reasonCode); }

static void subscribe(const char *filter, int qos, MQTTProperties *properties) {
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    if (v5) {
        options.onSuccess5 = subscribed5;
        options.onFailure5 = failed5;
        if (properties) options.properties = *properties;
    } else {
        options.onSuccess = subscribed;
        options.onFailure = failed;
    }
    check(MQTTAsync_subscribe(client, filter, qos, &options), "subscribe");
}

static void greeted(int session_present) {
    char line[64];
    snprintf(line, sizeof line, "connected %d", session_present);
    if (is("subscribe") || is("will")) say(line);
    connected = 1;
}

static void on_first_connect(void *context, MQTTAsync_successData *data) {
    greeted(data->alt.connect.sessionPresent);
}

static void on_first_connect5(void *context, MQTTAsync_successData5 *data) {
    greeted(data->alt.connect.sessionPresent);
}

/* The first time and every other: the library reconnects by itself. */
static void on_connected(void *context, char *cause) {
    if (is("subscribe")) subscribe(arguments[1], atoi(arguments[2]), NULL);
}

static void on_delivered(void *context, MQTTAsync_token token) { published++; }

static const MQTTProperty *property(MQTTAsync_message *message, enum MQTTPropertyCodes code) {
    return MQTTProperties_getProperty(&message->properties, code);
}

static void describe(MQTTAsync_message *message) {
    const MQTTProperty *one = property(message, MQTTPROPERTY_CODE_CONTENT_TYPE);
    printf("content type %.*s\n", one->value.data.len, one->value.data.data);
    one = property(message, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
    printf("response topic %.*s\n", one->value.data.len, one->value.data.data);
    one = property(message, MQTTPROPERTY_CODE_CORRELATION_DATA);
    printf("correlation data %.*s\n", one->value.data.len, one->value.data.data);
    printf("user properties");
    for (int i = 0; i < 3; i++) {
        one = MQTTProperties_getPropertyAt(&message->properties, MQTTPROPERTY_CODE_USER_PROPERTY, i);
        printf(" %.*s=%.*s", one->value.data.len, one->value.data.data, one->value.value.len, one->value.value.data);
    }
    printf("\nformat %d\n", property(message, MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR)->value.byte);
    unsigned expiry = property(message, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL)->value.integer4;
    printf("expires %s\n", expiry > 0 && expiry <= 60 ? "true" : "false");
    printf("identifier %u\n", property(message, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER)->value.integer4);
    fflush(stdout);
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message) {
    if (is("properties")) {
        describe(message);
        over = 1;
    } else {
        char line[256];
        snprintf(line, sizeof line, "%s %.*s %d %d", topic, message->payloadlen, (char *)message->payload, message->qos,
                 message->retained);
        say(line);
        if (--left == 0) over = 1;
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static MQTTProperty number(enum MQTTPropertyCodes code, unsigned value) {
    MQTTProperty property;
    memset(&property, 0, sizeof property);
    property.identifier = code;
    if (code == MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR)
        property.value.byte = (unsigned char)value;
    else
        property.value.integer4 = value;
    return property;
}

static MQTTProperty text(enum MQTTPropertyCodes code, char *name, char *value) {
    MQTTProperty property;
    memset(&property, 0, sizeof property);
    property.identifier = code;
    property.value.data.data = name;
    property.value.data.len = (int)strlen(name);
    if (value) {
        property.value.value.data = value;
        property.value.value.len = (int)strlen(value);
    }
    return property;
}

static void add(MQTTProperties *properties, MQTTProperty property) {
    check(MQTTProperties_add(properties, &property), "property");
}

/* `keep`: the session outlives the connection. */
static void begin(const char *address, const char *client_id, int keep, MQTTAsync_willOptions *will) {
    char uri[128];
    snprintf(uri, sizeof uri, "tcp://%s", strstr(address, "//") + 2);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    create.sendWhileDisconnected = 1;
    create.maxBufferedMessages = 1000;
    check(MQTTAsync_createWithOptions(&client, uri, client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), "create");
    check(MQTTAsync_setCallbacks(client, NULL, NULL, on_message, on_delivered), "callbacks");
    check(MQTTAsync_setConnected(client, NULL, on_connected), "connected");
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    MQTTProperties properties = MQTTProperties_initializer;
    if (v5) {
        options = options5;
        options.cleanstart = !keep;
        add(&properties, number(MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, keep ? 3600 : 0));
        options.connectProperties = &properties;
        options.onSuccess5 = on_first_connect5;
        options.onFailure5 = failed5;
    } else {
        options.cleansession = !keep;
        options.onSuccess = on_first_connect;
        options.onFailure = failed;
    }
    options.MQTTVersion = create.MQTTVersion;
    options.automaticReconnect = 1;
    options.minRetryInterval = 1;
    options.maxRetryInterval = 1;
    options.will = will;
    check(MQTTAsync_connect(client, &options), "connect");
}

static void wait_for(volatile int *what, int value) {
    while (*what < value) usleep(2000);
}

static void end(void) {
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    check(MQTTAsync_disconnect(client, &options), "disconnect");
    while (MQTTAsync_isConnected(client)) usleep(2000);
    MQTTAsync_destroy(&client);
}

/* At QoS 0 the library tells by another way than `on_delivered`. */
static void sent(void *context, MQTTAsync_successData *data) { published++; }

static void sent5(void *context, MQTTAsync_successData5 *data) { published++; }

static void publish(const char *topic, const char *payload, int qos, int retain) {
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    if (qos == 0 && v5) options.onSuccess5 = sent5;
    if (qos == 0 && !v5) options.onSuccess = sent;
    check(MQTTAsync_send(client, topic, (int)strlen(payload), payload, qos, retain, &options), "send");
}

static void publish_described(const char *topic) {
    MQTTAsync_message message = MQTTAsync_message_initializer;
    message.payload = "described";
    message.payloadlen = 9;
    message.qos = 1;
    add(&message.properties, text(MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL));
    add(&message.properties, text(MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answers", NULL));
    add(&message.properties, text(MQTTPROPERTY_CODE_CORRELATION_DATA, "17", NULL));
    add(&message.properties, text(MQTTPROPERTY_CODE_USER_PROPERTY, "a", "1"));
    add(&message.properties, text(MQTTPROPERTY_CODE_USER_PROPERTY, "b", "2"));
    add(&message.properties, text(MQTTPROPERTY_CODE_USER_PROPERTY, "a", "3"));
    add(&message.properties, number(MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, 1));
    add(&message.properties, number(MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, 60));
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    check(MQTTAsync_sendMessage(client, topic, &message, &options), "send");
}

int main(int count, char **words) {
    role = words[1];
    const char *address = words[2];
    v5 = strcmp(words[3], "5") == 0;
    arguments = words + 4;
    if (is("subscribe")) {
        left = atoi(arguments[4]);
        begin(address, arguments[0], atoi(arguments[3]), NULL);
        wait_for(&over, 1);
    } else if (is("publish")) {
        begin(address, arguments[0], 1, NULL);
        wait_for(&connected, 1);
        int first = atoi(arguments[4]), last = atoi(arguments[5]), qos = atoi(arguments[2]);
        for (int i = first; i <= last; i++) {
            char payload[16];
            snprintf(payload, sizeof payload, "%d", i);
            publish(arguments[1], payload, qos, atoi(arguments[3]));
            printf("publishing %d\n", i);
            fflush(stdout);
            usleep(10000);
        }
        wait_for(&published, last - first + 1);
    } else if (is("clear")) {
        begin(address, arguments[0], 0, NULL);
        wait_for(&connected, 1);
        publish(arguments[1], "", 1, 1);
        wait_for(&published, 1);
    } else if (is("will")) {
        MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
        will.topicName = arguments[1];
        will.message = arguments[2];
        will.qos = 1;
        begin(address, arguments[0], 0, &will);
        wait_for(&over, 1);
    } else if (is("properties")) {
        char topic[128];
        snprintf(topic, sizeof topic, "about/%s", arguments[0]);
        begin(address, arguments[0], 0, NULL);
        wait_for(&connected, 1);
        MQTTProperties properties = MQTTProperties_initializer;
        add(&properties, number(MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 7));
        subscribe(topic, 1, &properties);
        wait_for(&connected, 2);
        publish_described(topic);
        wait_for(&over, 1);
    }
    end();
    if (is("publish")) say("all published");
    if (is("clear")) say("cleared");
    return 0;
}
