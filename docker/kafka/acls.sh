#!/bin/sh
# The least rights of each user of Kafka, for a cluster with an authorizer (StandardAuthorizer). Run by an
# administrator; what is there already stays, so it can be run again.
# 各角色在 Kafka 上的最小权限（集群须启用鉴权）。由管理员执行，可重复执行。
#
#     sh docker/kafka/acls.sh HOST:PORT ADMIN.properties
#
# ADMIN.properties: how the administrator signs in (--command-config of Kafka's own commands). Topics, group and users
# are those of the defaults; name others in the variables below. With certificates instead of passwords a user is what
# the brokers make of the certificate (ssl.principal.mapping.rules).
# 主题、消费组与用户名按默认配置；如有不同，用下列变量给出。
set -eu
servers=$1 config=$2
acls=${KAFKA_ACLS:-kafka-acls.sh}
raw=${QUANYU_RAW_TOPICS:-raw.110 raw.12345 raw.grid raw.sensor}
log=${QUANYU_LOG_TOPIC:-signals.located}
late=${QUANYU_LATE_TOPIC:-signals.late}
rejected=${QUANYU_REJECTED_TOPIC-signals.rejected} # empty, like kafka.rejected_topic: none
state=${QUANYU_STATE_TOPIC:-city.state}
watermark=${QUANYU_WATERMARK_TOPIC:-city.watermark}
all="$raw $log $late $rejected $state $watermark"
group=${QUANYU_GROUP:-quanyu}
topics_user=${QUANYU_TOPICS_USER:-quanyu-topics}
intake_user=${QUANYU_INTAKE_USER:-quanyu-intake}
city_user=${QUANYU_CITY_USER:-quanyu-city}
producer_user=${QUANYU_PRODUCER_USER:-quanyu-producer}
replay_user=${QUANYU_REPLAY_USER:-quanyu-replay}

# Options for each of the topics.
on() { for topic; do printf ' --topic %s' "$topic"; done; }

# allow USER OPTIONS...
allow() {
    user=$1
    shift
    "$acls" --bootstrap-server "$servers" --command-config "$config" --add --allow-principal "User:$user" "$@"
}

# shellcheck disable=SC2046,SC2086 # the lists are words
{
    # Everybody: that a topic is there, and how many partitions it has. Members of the group look at all of its topics.
    # 所有角色：查看主题是否存在及其分区数。
    "$acls" --bootstrap-server "$servers" --command-config "$config" --add --operation Describe \
        --allow-principal "User:$topics_user" --allow-principal "User:$intake_user" \
        --allow-principal "User:$city_user" --allow-principal "User:$producer_user" \
        --allow-principal "User:$replay_user" $(on $all)

    # quanyu topics create|check 创建与检查主题
    allow "$topics_user" --operation Create --operation DescribeConfigs $(on $all)

    # quanyu live --stages intake 接入进程
    allow "$intake_user" --operation Read $(on $raw)
    allow "$intake_user" --operation Read $(on $watermark)
    allow "$intake_user" --operation Write $(on $log $rejected)
    # quanyu live --stages city, quanyu state show|rebuild 城市进程，状态的查看与重建
    allow "$city_user" --operation Read $(on $log $state)
    allow "$city_user" --operation Write $(on $late $state $watermark)
    # Both: quanyu doctor looks at how long topics keep. 两者：检查主题保留期（doctor）。
    "$acls" --bootstrap-server "$servers" --command-config "$config" --add --operation DescribeConfigs \
        --allow-principal "User:$intake_user" --allow-principal "User:$city_user" $(on $all)
    # Both are members of one consumer group. 两者同属一个消费组。
    "$acls" --bootstrap-server "$servers" --command-config "$config" --add --operation Read \
        --allow-principal "User:$intake_user" --allow-principal "User:$city_user" --group "$group"

    # The sources' connectors, quanyu simulate --to kafka, quanyu rejected redrive 各来源的写入程序、模拟器与拒收重发
    allow "$producer_user" --operation Write $(on $raw)

    # quanyu replay run --kafka [--log]: no group, nothing written 回放：只读，不用消费组
    allow "$replay_user" --operation Read $(on $raw $log)
}
