//! What every store must do, run over each of them. A new store is a line at the end of this file.

mod access;
mod accounts;
mod archive;
mod commits;
mod contacts;
mod graph;
pub mod hand;
mod lists;
mod logs;
mod memos;
mod webhooks;

use std::sync::Arc;

use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{SqliteOptions, SqliteStore};

/// Makes a test of each part of the contract, over the store that `$open` gives, with whatever must
/// live as long as it.
macro_rules! contract {
    ($store:ident, $open:expr, { $($room:ident: $($promise:ident)+;)+ }) => {
        mod $store {
            $($(
                #[tokio::test]
                async fn $promise() {
                    let (store, _kept) = $open;
                    super::$room::$promise(store).await;
                }
            )+)+
        }
    };
}

/// The contract itself: every promise by its name.
macro_rules! every_promise {
    ($store:ident, $open:expr) => {
        contract!($store, $open, {
            commits:
                node_keys_are_never_handed_out_twice
                a_created_node_is_found_as_it_was_made
                a_configuration_survives_whatever_it_holds
                a_changed_configuration_is_kept
                a_stale_part_undoes_the_whole_batch
                creating_where_a_node_stands_is_stale
                the_parts_of_a_batch_see_each_other
                a_commit_that_is_not_whole_is_refused_and_leaves_nothing
                questions_are_answered_in_their_places
                affiliations_and_subscriptions_come_and_go
                odd_names_are_kept_apart
                an_answer_is_of_one_moment
                a_closed_store_refuses;
            logs:
                a_log_has_every_event_once_and_in_order
                every_kind_of_event_comes_back
                a_page_of_the_log_ends_by_count_and_by_bytes
                trimming_keeps_what_items_stand_on
                what_fell_below_the_floor_goes_with_its_item
                a_retraction_erases_every_payload_of_its_item
                a_purge_erases_what_was_before_it_and_no_more
                an_item_may_come_and_go_within_one_commit
                a_deleted_node_leaves_a_tombstone_and_nothing_else
                a_node_may_be_made_and_deleted_in_one_commit
                a_node_made_again_is_another_node
                old_tombstones_are_forgotten
                old_logs_are_listed_oldest_first
                the_floor_follows_time_and_bytes;
            lists:
                items_are_paged_in_both_directions
                pages_of_items_stay_in_place_while_items_go
                items_come_in_the_order_of_their_creation_too
                payloads_are_left_where_none_are_wanted
                owners_and_publishers_are_named_among_members
                subscriptions_that_end_are_listed_earliest_first
                the_newest_items_are_a_list_of_their_own
                items_asked_by_name_come_in_that_order
                a_page_of_items_ends_when_it_is_heavy
                an_edge_that_is_none_is_refused
                subscriptions_of_a_node_are_paged
                subscriptions_of_an_entity_are_paged
                affiliations_are_paged
                nodes_are_paged_bytewise
                what_an_account_watches_is_read_in_slices
                what_a_domain_watches_is_read_in_slices
                nodes_of_accounts_come_with_their_last_items
                items_that_pass_with_their_publishers_are_found
                lists_of_what_is_absent_are_empty;
            access:
                owners_are_found_and_bounded
                who_waits_is_found_by_node_by_owner_and_by_service
                hidden_nodes_are_listed_for_those_who_know_them
                items_are_due_when_the_oldest_is
                nodes_that_keep_nothing_grow_old_apart;
            graph:
                a_collection_is_found_from_both_ends
                what_is_below_a_collection_comes_by_distance;
            memos:
                a_memo_is_kept_with_its_commit_or_not_at_all
                memos_of_a_caller_are_counted_and_forgotten;
            webhooks:
                a_webhook_comes_back_and_is_listed
                deliveries_are_settled_as_one
                the_latest_attempts_are_kept_and_no_others;
            accounts:
                an_account_comes_back_with_either_verifier
                accounts_are_listed_in_slices
                accounts_that_look_alike_are_found
                accounts_are_counted_as_they_come_change_and_go
                removing_an_account_takes_its_tokens
                tokens_come_back_touched_and_replaced
                fast_tokens_are_replaced_by_client
                the_clients_with_fast_tokens_are_bounded;
            archive:
                numbers_of_messages_are_never_handed_out_twice
                an_archive_is_read_from_both_ends
                an_archive_is_searched
                what_was_published_is_an_archive
                the_oldest_messages_make_room_and_grow_old
                a_filing_that_finds_no_room_leaves_nothing
                what_an_account_keeps_goes_with_it;
            contacts:
                a_roster_comes_back_as_it_was_written
                both_sides_of_a_subscription_change_at_once
                access_models_see_what_stands_in_the_roster
                a_block_list_is_replaced
                messages_wait_in_order_and_are_bounded
                the_last_departure_is_kept_of_accounts
                removing_an_account_takes_its_roster
                who_has_the_name_of_a_removed_account_next_inherits_nothing
                who_is_removed_is_told_by_no_node;
        });
    };
}

every_promise!(in_memory, super::in_memory());
every_promise!(on_disk, super::on_disk());

fn in_memory() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

fn on_disk() -> (Arc<dyn Store>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let options = SqliteOptions { path: directory.path().join("contract.db"), ..SqliteOptions::default() };
    (Arc::new(SqliteStore::open(&options).expect("a new database opens")), directory)
}
