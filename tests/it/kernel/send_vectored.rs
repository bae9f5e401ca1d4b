//! SENDMSG of several buffers.

use annulus::buf::IoBuf;

use crate::support::settled::{Drops, content, narrow_pair, pair, read_len, run};

#[test]
fn the_buffers_leave_in_order_and_come_back() {
    run(async || {
        let (near, far) = pair();
        let bufs = vec![b"one ".to_vec(), Vec::new(), b"two ".to_vec(), b"three".to_vec()];
        let back = near.send_all_vectored(bufs.clone()).await.unwrap();
        assert_eq!(back, bufs);
        assert_eq!(read_len(&far, 13).await, b"one two three");
    });
}

#[test]
fn nothing_to_send_is_no_operation() {
    run(async || {
        let (near, _far) = pair();
        assert_eq!(near.send_all_vectored(Vec::<Vec<u8>>::new()).await.unwrap().len(), 0);
        assert_eq!(near.send_all_vectored(vec![Vec::new(); 3]).await.unwrap().len(), 3);
    });
}

#[test]
fn more_buffers_than_one_operation_takes_leave_whole() {
    run(async || {
        let (near, far) = pair();
        let drops = Drops::default();
        let all = content(0, 0, 3000 * 3);
        let bufs: Vec<_> = all.chunks(3).map(|part| drops.buffer(part.to_vec())).collect();
        let back = near.send_all_vectored(bufs).await.unwrap();
        assert_eq!((back.len(), drops.count()), (3000, 0));
        assert_eq!(back[2999].as_bytes(), &all[8997..]);
        assert_eq!(read_len(&far, all.len()).await, all);
    });
}

#[test]
fn a_narrow_socket_gets_all_of_it_in_parts() {
    run(async || {
        let (near, far) = narrow_pair();
        let all = content(0, 0, 2 << 20);
        let bufs: Vec<Vec<u8>> = all.chunks(999).map(<[u8]>::to_vec).collect();
        let count = bufs.len();
        let sender = annulus::spawn(async move {
            let back = near.send_all_vectored(bufs).await.unwrap();
            assert_eq!(back.len(), count);
        });
        assert_eq!(read_len(&far, all.len()).await, all);
        sender.await.unwrap();
    });
}
