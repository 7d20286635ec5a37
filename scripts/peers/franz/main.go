// A group of franz-go clients against the broker at os.Args[1]: cooperative members share four partitions, one leaves,
// the other takes over, offsets are committed and read back, and the admin client describes, resets and deletes the group.
// Ends with the line "seen N committed N".
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic, group, partitions = "grp-franz", "franz-group", 4

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

// What all members saw, and how often.
type seen struct {
	mutex   sync.Mutex
	records map[string]int
}

func (s *seen) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.records)
}

// A member polls until its context ends, and then leaves with its offsets committed.
func member(ctx context.Context, broker, name string, s *seen, done *sync.WaitGroup) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker), kgo.ClientID(name), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
	check("a client", err)
	done.Add(1)
	go func() {
		defer done.Done()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			for _, one := range fetches.Errors() {
				if ctx.Err() == nil {
					fail("%s: fetch of %s-%d: %v", name, one.Topic, one.Partition, one.Err)
				}
			}
			s.mutex.Lock()
			fetches.EachRecord(func(record *kgo.Record) { s.records[fmt.Sprintf("%d/%d", record.Partition, record.Offset)]++ })
			s.mutex.Unlock()
			check("a commit", client.CommitUncommittedOffsets(context.Background()))
			client.AllowRebalance()
		}
		client.CloseAllowingRebalance()
	}()
}

func await(what string, condition func() bool) {
	for deadline := time.Now().Add(60 * time.Second); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			fail("%s: not within a minute", what)
		}
	}
}

func main() {
	broker := os.Args[1]
	count, err := strconv.Atoi(os.Args[2])
	check("a count", err)
	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	check("a client", err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(ctx, partitions, 1, nil, topic)
	check("create", err)
	produce := func(from, to int) {
		var records []*kgo.Record
		for i := from; i < to; i++ {
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(strconv.Itoa(i))})
		}
		check("produce", client.ProduceSync(ctx, records...).FirstErr())
	}
	produce(0, count)
	s := &seen{records: map[string]int{}}
	var done sync.WaitGroup
	first, endFirst := context.WithCancel(ctx)
	second, endSecond := context.WithCancel(ctx)
	member(first, broker, "one", s, &done)
	await("all records", func() bool { return s.count() == count })
	member(second, broker, "two", s, &done)
	await("two members with two partitions each", func() bool {
		described, err := admin.DescribeGroups(ctx, group)
		check("describe", err)
		one := described[group]
		if one.State != "Stable" || len(one.Members) != 2 {
			return false
		}
		for _, m := range one.Members {
			assigned, ok := m.Assigned.AsConsumer()
			if !ok || len(assigned.Topics) != 1 || len(assigned.Topics[0].Partitions) != 2 {
				return false
			}
		}
		return one.Protocol == "cooperative-sticky"
	})
	endFirst()
	produce(count, count+400)
	await("all records of the one that is left", func() bool { return s.count() == count+400 })
	endSecond()
	done.Wait()
	committed, err := admin.FetchOffsets(ctx, group)
	check("offsets", err)
	sum := int64(0)
	committed.Each(func(one kadm.OffsetResponse) { sum += one.At })
	lags, err := admin.Lag(ctx, group)
	check("lag", err)
	if lag := lags[group]; lag.Lag.Total() != 0 || lag.State != "Empty" {
		fail("lag %d of a group that is %s", lag.Lag.Total(), lag.State)
	}
	listed, err := admin.ListGroups(ctx)
	check("list", err)
	if _, ok := listed[group]; !ok {
		fail("the group is not listed")
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 2, At: 7, LeaderEpoch: -1, Metadata: "a note"})
	_, err = admin.CommitOffsets(ctx, group, offsets)
	check("commit", err)
	committed, err = admin.FetchOffsets(ctx, group)
	check("offsets", err)
	if one, ok := committed.Lookup(topic, 2); !ok || one.At != 7 || one.Metadata != "a note" {
		fail("offset %d with %q", one.At, one.Metadata)
	}
	_, err = admin.DeleteOffsets(ctx, group, kadm.TopicsSet{topic: {2: {}}})
	check("delete offsets", err)
	_, err = admin.DeleteGroup(ctx, group)
	check("delete", err)
	fmt.Printf("seen %d committed %d\n", s.count(), sum)
}
