//! Promises broken on purpose, to show that the simulation notices.

use crate::run::Layer;

macro_rules! mutations {
    ($($layer:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ })+) => {
        /// One promise broken on purpose, by a wrapper around a machine, the store or the shell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutation {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl Mutation {
            /// Every one.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Which simulation is to notice.
            pub const fn layer(self) -> Layer {
                match self {
                    $($(Self::$name => Layer::$layer,)+)+
                }
            }
        }
    };
}

mutations! {
    Window {
        /// A message is settled when its dead letter is asked for, not when it is durable.
        SettlesBeforeDeadLetter,
        /// The saved cursor is one message further than the settled ones.
        SavedCursorLeads,
        /// Attempts are not counted across a reconnect.
        ForgetsAttempts,
        /// A message that was interrupted with its connection counts as failed.
        InterruptionCounts,
        /// The saved cursor reserves nothing of what is sent after it.
        ForgetsToReserve,
        /// Messages are sent that no durable cursor has reserved.
        SendsUnreserved,
        /// What was settled out of order is not remembered across a reconnect.
        ForgetsSettled,
        /// An ack that does not come is not noticed.
        MissesTimeouts,
        /// The wake-up is asked for a millisecond after the first deadline.
        WakesLate,
        /// One more message is in flight than the window allows.
        OverrunsWindow,
        /// With the window full, the next message is dropped.
        DropsWhenFull,
        /// Two messages change places.
        SwapsFirstSends,
        /// A nack is answered by sending again at once.
        RetriesAtOnce,
        /// A nack settles the message.
        NackSettles,
        /// A cumulative ack settles what is on its way to the dead letters.
        CumulativeAckTakesGivenUp,
        /// A message that was acked is sent again.
        ResendsAcked,
        /// One message more than is missing counts as missing.
        MissingTakesOneMore,
        /// The ack of a message that was not sent yet settles it.
        SettlesUnsent,
        /// A dead letter that failed is not tried again.
        FailedDeadLetterForgotten,
        /// A dead letter that failed counts as durable.
        FailedDeadLetterSettles,
        /// A request for more time shortens it.
        IgnoresExtend,
        /// The last attempt is not the last.
        NeverGivesUp,
    }
    Group {
        /// A member gets one message more than its window allows.
        OverrunsMember,
        /// A member that leaves is not noticed.
        ForgetsLeaver,
        /// Everything a member had when it left counts as a failed attempt.
        LeaverUsesUpAttempts,
        /// A member without room gets more.
        PausedGetsMore,
        /// A member that has room again gets nothing.
        PausedForGood,
        /// What never left counts as an attempt.
        ReturnedIsAnAttempt,
        /// Messages of one key go to whoever has room.
        IgnoresOrderKeys,
        /// A member that joins moves every key.
        KeysMoveWithEveryMember,
        /// A key is one key in one topic and another in the next.
        KeysPerTopic,
        /// A message that could not be fetched is not asked for again.
        ForgetsFailedFetch,
        /// The ack of a member that does not have the message counts.
        AnybodyMayAck,
        /// A nack settles the message.
        GroupNackSettles,
        /// A message that is delivered again is settled without an ack.
        AcksForMembers,
        /// Two members get the same message.
        DeliversToTwo,
        /// An ack that does not come is not noticed.
        GroupMissesTimeouts,
        /// The wake-up is asked for a millisecond after the first deadline.
        GroupWakesLate,
        /// A message is settled when its dead letter is asked for.
        GroupSettlesBeforeDeadLetter,
        /// Attempts are not counted across a restart.
        GroupForgetsAttempts,
        /// The saved cursor is one message further than the settled ones.
        GroupCursorLeads,
        /// Messages are delivered that no saved cursor reserves.
        GroupSendsUnreserved,
        /// A saved cursor reserves nothing.
        GroupForgetsToReserve,
    }
    World {
        /// A publish is answered when it is written, not when it is synced.
        AnswersBeforeSync,
        /// Subscribers get messages when they are written, not when they are synced.
        FansOutBeforeSync,
        /// The keys of publishes are in memory only, and gone after a restart.
        ForgetsKeysAtRestart,
        /// Two publishes with one key in one commit are not recognised.
        MissesKeyInBatch,
        /// A key is durable before its message is.
        KeyOutlivesMessage,
        /// After a failed sync the store goes on, and tells the commit as done.
        IgnoresFailedSync,
        /// The outcomes of a commit are told backwards.
        TellsCommitBackwards,
        /// A store that was lost comes back with the same epoch.
        KeepsEpochAfterLoss,
        /// A log of which everything was trimmed begins at offset 1 after a restart.
        ReusesOffsetsAfterTrim,
        /// A client with a position of another epoch goes on as if it were this one's.
        ResumeIgnoresEpoch,
        /// A client whose next message was trimmed is not told.
        ResumeIgnoresTrim,
        /// Every client that comes back is told that messages are missing.
        ResumeAlwaysResets,
        /// A live subscription joins the tail without reading what it missed.
        JoinsTailAtOnce,
        /// A live subscription reads what it is about to hear of.
        ReadsAheadOfNews,
        /// A live subscription that is behind is sent the newest message anyway.
        DeliversWhileBehind,
        /// A message for a live subscription whose socket is full is dropped.
        DropsWhenSocketFull,
        /// A trim that overtakes a reader is not told.
        SkipsTrimSilently,
        /// A read that returned messages goes on one too far.
        ReadSkipsOne,
        /// The saved cursor is where sending stands, not where acks stand.
        SavesWhatWasSent,
        /// A message expires halfway.
        ExpiresEarly,
        /// The cursor of a connection that ends is not saved.
        ForgetsLastCursor,
        /// After a crash, what may have been sent is taken for never sent.
        ForgetsWhatWasReserved,
        /// A message is settled when its dead letter is submitted, not when it is durable.
        SettlesWhenLetterSubmitted,
        /// A durable subscription goes on at the head of the log.
        DurableResumesAtHead,
        /// A client that subscribes twice, before its first cursor is durable, gets two.
        MakesCursorTwice,
        /// A new durable subscription is answered before its cursor is durable.
        AnswersBeforeCursor,
        /// A client that comes back to another log is told that messages were trimmed.
        BlamesTrims,
        /// A session that has expired is taken up.
        SessionNeverExpires,
        /// A session that still lasts is taken for expired.
        SessionExpiresEarly,
        /// A session is taken up by whoever shows it.
        SessionOfAnybody,
        /// Sessions are in memory only, and gone after a restart.
        ForgetsSessionsAtRestart,
        /// A session expires while its client is there.
        LetsSessionExpire,
        /// A client that gets a new session is told that it has its old one.
        SaysResumed,
        /// A connection whose session was taken over is not told.
        TakesOverSilently,
        /// A connection that ends frees its session also when another one has taken it over.
        LeaverFreesSession,
    }
    Disk {
        /// The disk says that it has synced, and has not.
        DiskSyncsNothing,
        /// A sync that failed is told as done.
        DiskHidesFailedSyncs,
        /// Creations and renames of files are never made to last.
        DiskForgetsNames,
        /// What was synced last is taken for an unfinished batch, and cut.
        CutsSyncedTail,
        /// Publishes are acknowledged before they are synced.
        PublishesUnsynced,
        /// Dead letters count as durable before they are synced.
        LettersUnsynced,
        /// The keys of publishes of an earlier process are not recognised.
        ForgetsKeysWhenOpened,
        /// The cursor that is stored is one message further than the one that was to be.
        StoredCursorLeads,
        /// Cursors but the first are told as saved, and are not.
        CursorsOnlyTold,
        /// Sessions are told as saved, and are not.
        SessionsOnlyTold,
        /// Dead letters are told as removed, and are not.
        PurgesOnlyTold,
        /// Retention keeps one message less than it should.
        RetentionTakesOneMore,
    }
}
