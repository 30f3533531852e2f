//! What the seeds are meant to meet: a simulation that never meets a fault shows nothing of it.

use crate::run::Layer;

macro_rules! sometimes {
    ($($layer:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ })+) => {
        /// A fault or a branch that has to be met by some seed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sometimes {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl Sometimes {
            /// Every one.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Which simulation is to meet it.
            pub const fn layer(self) -> Layer {
                match self {
                    $($(Self::$name => Layer::$layer,)+)+
                }
            }

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$name => stringify!($name),)+)+
                }
            }
        }
    };
}

sometimes! {
    Window {
        /// A message was sent a second time or more.
        SentAgain,
        /// A message said that it may have been sent before, and had not been.
        SaidAgainThoughFirst,
        /// A further stretch was reserved.
        Reserved,
        /// Something was due and no answer had come.
        TimedOut,
        /// A delivery was nacked without a delay.
        Nacked,
        /// A delivery was nacked with one.
        NackedWithDelay,
        /// A delivery was refused for good.
        Refused,
        /// A delivery got more time.
        Extended,
        /// A message was given up.
        GaveUp,
        /// A dead letter could not be written.
        DeadLetterFailed,
        /// A message given up was gone from the log before its dead letter.
        GoneBeforeDeadLetter,
        /// A message given up was gone before its dead letter was asked for.
        GoneBeforeLetterAsked,
        /// An ack came for a message that was not the first unsettled one.
        AckedOutOfOrder,
        /// An ack came for a message that waited for its retry.
        AckedWhileWaiting,
        /// A cumulative ack passed a message on its way to the dead letters.
        AckedThroughGivenUp,
        /// An answer changed nothing.
        StaleAnswer,
        /// An answer came for a message never sent.
        UnsentAnswered,
        /// A message was gone when it was to be sent.
        GoneWhenRead,
        /// Several in a row were gone.
        GoneRunWhenRead,
        /// Retention took messages in flight.
        TrimmedUnderWindow,
        /// Retention took messages never sent.
        TrimmedUnsent,
        /// A delivery was decided and could not be carried out.
        NotSent,
        /// A delivery was lost on its way.
        DeliveryLost,
        /// More was to be sent than the window let through.
        WindowFull,
        /// A subscription was taken up with a smaller window.
        WindowShrank,
        /// A subscription was taken up from its last state.
        Reconnected,
        /// A subscriber left in good order, and came back.
        LeftInOrder,
        /// A subscription was taken up from an older state than the last.
        ResumedFromOlderState,
        /// A subscription was taken up with a message whose attempts were used up.
        ResumedUsedUp,
        /// A crash came between a dead letter and its outcome.
        CrashedBeforeOutcome,
    }
    Group {
        /// A message was delivered again.
        DeliveredToAnother,
        /// Something was due and no answer had come.
        GroupTimedOut,
        /// A delivery was nacked.
        GroupNacked,
        /// A delivery was refused for good.
        GroupRefused,
        /// A delivery got more time.
        GroupExtended,
        /// A member answered for a message that another had.
        AnsweredForAnother,
        /// A member answered late, and it counted.
        AnsweredLate,
        /// A message was given up.
        GroupGaveUp,
        /// A dead letter could not be written.
        GroupDeadLetterFailed,
        /// A member left with messages in hand.
        LeftWithMessages,
        /// The last member left.
        WithoutMembers,
        /// A message that never left was given back.
        Returned,
        /// A key moved to a member that had joined.
        KeyMovedToJoined,
        /// A later message was fetched before an earlier one.
        FetchedOutOfOrder,
        /// A message could not be fetched.
        FetchFailed,
        /// A message was gone when it was fetched.
        GoneWhenFetched,
        /// A message was gone between its fetch and its delivery.
        GoneWhenDelivered,
        /// Retention took a message that a member had.
        TrimmedUnderMember,
        /// A delivery was decided and could not be carried out.
        GroupNotSent,
        /// A delivery was lost on its way.
        GroupDeliveryLost,
        /// A topic without anything pending was let go of.
        TopicClosed,
        /// A topic was let go of to make room, and something waited in it.
        TopicRested,
        /// A group went on from what was saved.
        GroupCrashed,
    }
    World {
        /// The wall clock was set back.
        ClockSetBack,
        /// The wall clock was set forward.
        ClockSetForward,
        /// A message had expired before a durable subscriber was sent it.
        Expired,
        /// A crash dropped what was written and not synced.
        CrashedWithUnsynced,
        /// A crash kept some of what was written and not synced.
        UnsyncedSurvived,
        /// A crash came after a sync and before its outcome was told.
        CrashedBeforeTold,
        /// A sync failed.
        SyncFailed,
        /// A store that had failed refused a publish.
        PoisonedStoreRefused,
        /// A store without space refused a publish.
        FullStoreRefused,
        /// The store was lost.
        StoreLost,
        /// A publish was repeated.
        PublishRepeated,
        /// A repeated publish was recognised.
        DuplicateFound,
        /// A repeated publish was recognised after a restart.
        DuplicateFoundAfterRestart,
        /// A repeated publish was recognised in the commit of the first.
        DuplicateFoundInBatch,
        /// A client came back and missed nothing.
        Recovered,
        /// A client came back to another epoch.
        ResetByEpoch,
        /// A client came back and its next message was trimmed.
        ResetByTrim,
        /// A live message went out at the tail.
        DeliveredAtTail,
        /// A live message found its subscriber behind.
        FoundBehind,
        /// A live message had been read from history already.
        Skipped,
        /// A subscriber's socket was full.
        SocketFull,
        /// A live subscriber caught up over several reads.
        CaughtUpInSteps,
        /// A trim overtook a live subscriber that was reading.
        TrimOvertookReader,
        /// A connection was taken over by a newer one of the same client.
        TakenOver,
        /// A server kept a connection whose client was gone.
        HalfOpen,
        /// A client came back before the last cursor of its older connection was saved.
        WaitedForLastCursor,
        /// A client subscribed again before its first cursor was durable.
        SubscribedWhileMade,
        /// A durable delivery was repeated.
        DeliveredAgain,
        /// A cursor could not be saved.
        CursorRefused,
        /// A dead letter became durable.
        DeadLettered,
        /// A dead letter was refused by the store.
        DeadLetterRefused,
        /// A crash came between a dead letter and its outcome.
        CrashedBeforeDeadLetter,
        /// A durable subscriber's message was trimmed before it was settled.
        TrimmedUnderDurable,
        /// A durable subscription went on from a cursor older than its last.
        CursorLagged,
        /// A client got its session back.
        SessionResumed,
        /// A client showed a session that had expired.
        SessionExpired,
        /// A client showed a session that the store does not have.
        SessionUnknown,
        /// A client showed the session of another user.
        SessionDenied,
        /// A session was saved again while its client stayed.
        SessionRenewed,
        /// A connection was told that its session has been taken over.
        SessionTakenOver,
        /// A connection whose session had been taken over ended.
        FormerHolderEnded,
        /// A session could not be saved.
        SessionRefused,
    }
    Disk {
        /// A process ended in a commit.
        EndedInCommit,
        /// A process ended in upkeep.
        EndedInUpkeep,
        /// A process ended while it opened the store.
        EndedInRecovery,
        /// The power was lost.
        PowerLost,
        /// An unfinished batch was cut.
        TornTailCut,
        /// The log had more than two segments.
        LogInSegments,
        /// The first segment was given back.
        SegmentGivenBack,
        /// A checkpoint was made.
        CheckpointMade,
        /// Offsets were left out after a crash.
        OffsetsLeftOut,
        /// The store's queue was full.
        StoreOverloaded,
        /// A store could not be opened because the disk was full.
        NotOpenedOnFullDisk,
    }
}

impl Sometimes {
    /// Those that `layer` is to meet.
    pub fn of(layer: Layer) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |kind| kind.layer() == layer)
    }
}

/// How often each was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage([u64; Sometimes::ALL.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; Sometimes::ALL.len()])
    }
}

impl Coverage {
    pub(crate) const fn met(&mut self, kind: Sometimes) {
        self.0[kind as usize] += 1;
    }

    pub(crate) fn met_if(&mut self, met: bool, kind: Sometimes) {
        if met {
            self.met(kind);
        }
    }

    /// How often `kind` was met.
    pub const fn count(&self, kind: Sometimes) -> u64 {
        self.0[kind as usize]
    }

    /// Adds what another run has met.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            *ours += theirs;
        }
    }
}
